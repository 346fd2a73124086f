"""Files that a clock has dated into the future."""

import contextlib
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path

MARGIN = 60  # seconds that the clocks of the machines of a cluster may differ


def date_back_to_now(folders: Iterable[Path]) -> None:
    """Give files that are dated ahead of this machine's clock the present time, and say so.

    Snakemake refuses each job that makes an output older than its inputs, so that after a clock has jumped back, no
    command would end well until the old dates have passed.
    """
    now = time.time()
    ahead = {}
    for folder in folders:
        for file in folder.rglob("*"):
            with contextlib.suppress(FileNotFoundError):  # a temporary file of a job that still ends
                if file.stat().st_mtime > now + MARGIN:
                    ahead[file] = file.stat().st_mtime - now
    for file in ahead:
        with contextlib.suppress(OSError):  # of a file that may not be changed, Snakemake says what it needs to
            os.utime(file, (now, now))
    if ahead:
        first, most = min(ahead), max(ahead.values()) / 3600
        print(f"{len(ahead)} files, e.g. {first}, were dated up to {most:.1f} hours ahead; dated now.", file=sys.stderr)
