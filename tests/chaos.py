"""Faults at random moments of whole runs, for hours if you like: make chaos [TIMES=20] [FAULTS=kill].

Each time a fresh run of tiny trainings is disturbed once, the same command is given again until it ends well, and its files
are compared with those of an undisturbed run. Each disturbed run is a row of chaos.csv, which grows from call to call;
`make cost` counts them.
"""

import argparse
import dataclasses
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))
from workspace import RUN, Workspace, fresh

from puzzles.base.csvs import read_csv, write_csv
from puzzles.output.provenance import commit


def processes_of(group: int) -> list[tuple[int, str]]:
    """The processes of a session: number and command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(folder.name)) == group:
                found.append((int(folder.name), (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()))
        except (OSError, ProcessLookupError):
            continue
    return found


def kill_one(group: int, wanted: Callable[[str], bool]) -> bool:
    """Kill one of the processes whose command line is wanted."""
    chosen = [number for number, line in processes_of(group) if wanted(line)]
    if chosen:
        os.kill(random.choice(chosen), signal.SIGKILL)
    return bool(chosen)


FAULTS: dict[str, Callable[[int, Workspace], object]] = {
    "kill -9 of a job": lambda group, w: kill_one(group, lambda line: ".snakemake/scripts" in line),
    "kill -9 of Snakemake": lambda group, w: kill_one(group, lambda line: "-m snakemake" in line),
    "kill -9 of everything": lambda group, w: os.killpg(group, signal.SIGKILL),
    "Ctrl-C": lambda group, w: os.killpg(group, signal.SIGINT),
    "SIGTERM to Snakemake": lambda group, w: [
        os.kill(n, signal.SIGTERM) for n, line in processes_of(group) if "-m snakemake" in line
    ],
    "results removed": lambda group, w: shutil.rmtree(w.folder / RUN, ignore_errors=True),
    "a cache entry cut": lambda group, w: cut(w, "results/cache/networks/*.safetensors"),
    "a checkpoint cut": lambda group, w: cut(w, "results/cache/checkpoints/*.pt"),
}


def hears_interrupts() -> None:
    """In a new process: do not ignore SIGINT, as a shell tells what it runs in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def cut(workspace: Workspace, pattern: str) -> None:
    """Cut one of the files in half, if there is any yet."""
    files = list(workspace.folder.glob(pattern))
    if files:
        file = random.choice(files)
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@dataclass(frozen=True)
class Outcome:
    """Of one disturbed run."""

    same_bytes: bool
    commands_again: int
    trained_again: int  # networks that were in the cache already
    seconds_more: float  # than an undisturbed run


def disturbed(template: Workspace, fault: str, after: float, whole: float) -> Outcome | None:
    """Disturb a fresh run after some seconds, and finish it; None if it had ended by then."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = fresh(Path(folder) / "project")
        start = time.monotonic()
        with (workspace.folder / "out.txt").open("w") as out:
            running = subprocess.Popen(
                workspace.command(),
                cwd=workspace.folder,
                stdout=out,
                stderr=out,
                start_new_session=True,
                preexec_fn=hears_interrupts,
            )
            time.sleep(after)
            if running.poll() is not None:
                return None
            finished = workspace.networks()
            FAULTS[fault](running.pid, workspace)
            running.wait()
            for number, _ in processes_of(running.pid):  # a job outlives a killed Snakemake, and holds its networks' locks
                os.kill(number, signal.SIGTERM)
        again, done = 0, running.returncode == 0 and (workspace.folder / RUN / "report.html").exists()
        while not done and again < 5:
            again += 1
            done = (
                subprocess.run(workspace.command(), cwd=workspace.folder, capture_output=True, check=False).returncode == 0
            )
        intact = {} if "cache" in fault else finished
        trained_again = sum(workspace.networks().get(name) != when for name, when in intact.items())
        same = done and workspace.tables() == template.tables()
        return Outcome(same, again, trained_again, time.monotonic() - start - whole)


def main() -> None:
    """The command line above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--faults", default="", help="only those with this word in their name")
    parser.add_argument("--out", type=Path, default=Path("results/bench"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    table = options.out / "chaos.csv"
    rows = read_csv(table).to_dict("records") if table.is_file() else []
    with tempfile.TemporaryDirectory() as folder:
        template = fresh(Path(folder) / "project")
        start = time.monotonic()
        template.snakemake()
        whole = time.monotonic() - start
        for _ in range(options.times):
            for fault in (name for name in FAULTS if options.faults in name):
                outcome, longest = None, whole
                while outcome is None:
                    after = random.uniform(2, longest)
                    outcome, longest = disturbed(template, fault, after, whole), after
                about = {"fault": fault, "after_seconds": after, "undisturbed_seconds": whole, "commit": commit()}
                rows.append(about | dataclasses.asdict(outcome))
                print(rows[-1], flush=True)
                write_csv(pd.DataFrame(rows), table)
    sys.exit(not all(row["same_bytes"] for row in rows))


if __name__ == "__main__":
    main()
