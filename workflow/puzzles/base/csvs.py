"""Read and write tables as CSV files without loss of precision."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from puzzles.base.files import atomic


def write_csv(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table to a CSV file, atomically and with all digits of its floats."""
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def read_csv(path: str | Path) -> pd.DataFrame:
    """Read a table that ``write_csv`` wrote: floats are exact, and only an empty cell is a missing value."""
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def read_all(paths: Iterable[str | Path]) -> pd.DataFrame:
    """The rows of several tables, one below the other."""
    return pd.concat([read_csv(path) for path in paths], ignore_index=True)
