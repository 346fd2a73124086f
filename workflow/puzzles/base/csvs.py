"""Read and write tables as CSV files without loss of precision."""

import io
import typing
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

import pandas as pd

from puzzles.base import paths
from puzzles.base.errors import ResultsError
from puzzles.base.files import atomic, sha256

if typing.TYPE_CHECKING:
    from _typeshed import DataclassInstance  # known to type checkers only

Tables = TypeVar("Tables", bound="DataclassInstance")


def write_csv(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table to a CSV file, atomically and with all digits of its floats.

    A hidden file beside it keeps its checksum, which ``read_csv`` compares. Published tables have ``checksums.txt`` instead.
    """
    record = _record(Path(path))
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
        digest = sha256(temporary)
        record.unlink(missing_ok=True)  # before the table changes: a process that is killed here leaves no wrong record
    if not Path(path).absolute().is_relative_to(paths.REFERENCE.absolute()):
        with atomic(record) as temporary:
            temporary.write_text(digest)


def read_csv(path: str | Path) -> pd.DataFrame:
    """Read a table that ``write_csv`` wrote: floats are exact, and only an empty cell is a missing value.

    Raises:
        ResultsError: it is not as it was written, for example cut by a crash of the file system.
    """
    record = _record(Path(path))
    if record.is_file() and record.read_text() != sha256(Path(path)):
        raise ResultsError(
            f"{path}: damaged or edited (its checksum does not hold); delete it and run the same command again, or, to keep "
            f"what you edited, delete {record.name} beside it"
        )
    return _parse(path)


def _record(path: Path) -> Path:
    return path.with_name(f".{path.name}.sha256")


def reread(table: pd.DataFrame) -> pd.DataFrame:
    """A table as it comes back from its file: columns of whole numbers are whole, whatever they were made from."""
    return _parse(io.StringIO(table.to_csv(index=False)))


def _parse(source: str | Path | io.StringIO) -> pd.DataFrame:
    return pd.read_csv(source, keep_default_na=False, na_values=[""])


def read_tables(kind: type[Tables], read: Callable[[str], pd.DataFrame]) -> Tables:
    """A dataclass of tables, each read by the name of its field."""
    return kind(**{field.name: read(field.name) for field in fields(kind)})


def read_all(paths: Iterable[str | Path]) -> pd.DataFrame:
    """The rows of several tables, one below the other."""
    return pd.concat([read_csv(path) for path in paths], ignore_index=True)
