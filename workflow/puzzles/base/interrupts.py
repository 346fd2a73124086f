"""End the running jobs when Snakemake is interrupted, also where the signal reaches Snakemake alone."""

import contextlib
import signal
from types import FrameType

import psutil


def end_jobs_when_interrupted() -> None:
    """On SIGINT, end this process's jobs, then do what Python does.

    Ctrl-C at a terminal reaches the jobs too, but ``kill -INT`` and job managers reach Snakemake alone, which then waits for
    its jobs to end by themselves, perhaps for hours. What was trained is kept: checkpoints are written atomically.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # it is another one in the background of a shell
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has ended in the meantime
            if any(".snakemake/scripts" in word for word in process.cmdline()):
                process.terminate()
    signal.default_int_handler(number, frame)
