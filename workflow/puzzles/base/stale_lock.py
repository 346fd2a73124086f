"""Remove the lock of a Snakemake that was killed, and of no other."""

import fcntl
import sys
from pathlib import Path
from typing import IO

_alive: list[IO[str]] = []  # held until this process ends


def clear_stale_lock(root: Path = Path(".snakemake")) -> None:
    """Remove the lock files that a killed Snakemake has left behind, so that the same command can just be run again.

    Every Snakemake of this project shares a lock that the system releases when the process dies. Whoever gets it for itself
    knows that no other one is alive here; whoever does not leaves Snakemake's own lock files alone.
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
