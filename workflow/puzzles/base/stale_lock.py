"""Remove the locks that a killed Snakemake process has left, but not those of a running one; say whether one runs."""

import fcntl
import sys
from pathlib import Path
from typing import IO

_alive: list[IO[str]] = []  # held until this process ends


def is_running(root: Path = Path(".snakemake")) -> bool:
    """Whether a Snakemake process of this project runs, here or, where the file system shares locks, on another machine."""
    file = root / "alive.lock"
    if not file.is_file():
        return False
    with file.open("a") as alive:
        try:
            fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def clear_stale_lock(root: Path = Path(".snakemake")) -> None:
    """Remove the lock files that a killed Snakemake process has left, so that the same command can be run again.

    Every Snakemake process of this project holds a shared lock, which the system releases when the process dies. If this
    process can take the lock exclusively, no other one is running and Snakemake's lock files are stale.
    """
    if _alive:
        return
    root.mkdir(exist_ok=True)
    alive = (root / "alive.lock").open("a")
    try:
        fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
        stale = list((root / "locks").glob("*.lock"))
        for file in stale:
            file.unlink(missing_ok=True)
        if stale:
            print("The last run here was killed; its lock is removed.", file=sys.stderr)
    except BlockingIOError:
        pass
    fcntl.flock(alive, fcntl.LOCK_SH)
    _alive.append(alive)
