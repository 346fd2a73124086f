"""Tables as CSV files that keep every bit of a float."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from puzzles.base.files import atomic


def write_csv(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table whole or not at all, with every digit a float needs."""
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def read_csv(path: str | Path) -> pd.DataFrame:
    """Read what ``write_csv`` wrote; the floats come back bit by bit, and only an empty cell is a missing value."""
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def read_all(paths: Iterable[str | Path]) -> pd.DataFrame:
    """The rows of several tables, one below the other."""
    return pd.concat([read_csv(path) for path in paths], ignore_index=True)
