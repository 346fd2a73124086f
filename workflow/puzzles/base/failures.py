"""What went wrong in the jobs of a run, from their logs, to be said last and in one line each."""

import re
from collections.abc import Iterable
from pathlib import Path

ERROR = re.compile(r"^\d\d:\d\d:\d\d ERROR (.*)", re.MULTILINE | re.DOTALL)  # as ``config.job.job`` writes it


def error_in(log: Path) -> str:
    """The error that a job's log ends with, in one line, of a traceback the last; empty if there is none."""
    error = ERROR.search(log.read_text(errors="replace"))
    if error is None:
        return ""
    said = error[1].strip().splitlines()
    return said[-1] if said[0].startswith("Traceback") else said[0]


def failures(folders: Iterable[Path], since: float) -> list[str]:
    """A line for each log that was written since a time (seconds, as ``time.time``) and ends with an error.

    A job that was killed says nothing in its log.
    """
    logs = (log for folder in folders for log in sorted(folder.rglob("*.log")) if log.stat().st_mtime >= since)
    return [f"{error}  (log: {log.as_posix()})" for log in logs if (error := error_in(log))]
