"""Snakemake's lock of the working directory, after a run that was killed."""

import sys
from pathlib import Path

from puzzles.files import Lock

_alive: list[Lock] = []  # held until this process ends


def clear_stale_lock(root: Path = Path(".snakemake")) -> None:
    """Remove the lock files that a killed Snakemake has left behind, so that the same command can just be run again.

    Every Snakemake of ours holds a lock that the system releases when it dies. Whoever gets it knows that no other one
    is alive here; whoever does not leaves Snakemake's own lock files alone.
    """
    if _alive:
        return
    lock = Lock(root / "alive.lock")
    if not lock.acquire():
        return
    _alive.append(lock)
    stale = sorted((root / "locks").glob("*.lock"))
    for file in stale:
        file.unlink(missing_ok=True)
    if stale:
        print("The last run here was killed; its lock is removed.", file=sys.stderr)
