"""Write files atomically; lock files; read YAML quickly."""

import contextlib
import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import yaml

from puzzles.base.errors import StorageError

CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # C takes a tenth of the time
UMASK = os.umask(0)
os.umask(UMASK)
STALE = 3600  # seconds; nothing here takes that long to write


def partials(path: Path) -> list[Path]:
    """The temporary files of processes that are writing ``path``, or were killed while they did."""
    return list(path.parent.glob(f".partial-*-{path.name}"))


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary file beside ``path`` that replaces ``path`` when the block ends without an error.

    Each process has its own temporary file. Those left by killed processes are removed once they are an hour old. The file
    gets the permissions that the process's umask asks for, whatever its writer thought of.

    Raises:
        StorageError: the disk is full, or the folder cannot be written to.
    """
    path = Path(path)
    with _one_line(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    for old in partials(path):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - old.stat().st_mtime > STALE:
                old.unlink()
    temporary = path.with_name(f".partial-{os.uname().nodename}-{os.getpid()}-{path.name}")
    try:
        with _one_line(path):
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.chmod(0o666 & ~UMASK)
            temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):  # of a folder that may not be written to
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _one_line(path: Path) -> Iterator[None]:
    """Turn what a full or read-only disk raises, in Python or in a library, into one line."""
    try:
        yield
    except Exception as error:
        code = getattr(error, "errno", None)
        if code in CANNOT_WRITE or any(os.strerror(known) in str(error) for known in CANNOT_WRITE):
            found = next(os.strerror(k) for k in CANNOT_WRITE if k == code or os.strerror(k) in str(error))
            raise StorageError(
                f"{path}: cannot be written ({found}); make it possible and run the same command again"
            ) from error
        raise


def sha256(path: Path) -> str:
    """The checksum of a file's content, in hexadecimal."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


class Lock:
    """An advisory lock on a file; the system releases it when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    def acquire(self) -> bool:
        """Take the lock if nobody holds it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self.path.open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Release the lock. The file stays: if it were removed, two processes could hold the same lock."""
        if self._file is not None:
            self._file.close()
            self._file = None
