"""What went wrong in the jobs of a run, from their logs, to be said last and in one line each."""

import re
from collections.abc import Iterable
from pathlib import Path

ERROR = re.compile(r"^\d\d:\d\d:\d\d ERROR (.*)", re.MULTILINE | re.DOTALL)  # as ``config.job.job`` writes it


def failures(folders: Iterable[Path], since: float) -> list[str]:
    """A line for each log that was written since a time (seconds, as ``time.time``) and ends with an error.

    Of a traceback, its last line. A job that was killed says nothing in its log.
    """
    found = []
    for folder in folders:
        for log in sorted(folder.rglob("*.log")):
            if log.stat().st_mtime >= since and (error := ERROR.search(log.read_text(errors="replace"))):
                said = error[1].strip().splitlines()
                found.append(f"{said[-1] if said[0].startswith('Traceback') else said[0]}  (log: {log.as_posix()})")
    return found
