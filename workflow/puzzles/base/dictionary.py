"""The columns of all tables, from columns.yaml: the one list that tables are written by and docs/columns.md is made from."""

import functools

import yaml

from puzzles.base import paths
from puzzles.base.files import YAML_LOADER


@functools.cache
def tables() -> dict[str, dict]:
    """Every table by name: ``about``, ``file`` and ``columns``; these have ``about``, some ``unit`` and ``source``."""
    found: dict[str, dict] = yaml.load(paths.COLUMNS.read_text(), Loader=YAML_LOADER)["tables"]
    return found


def columns_of(table: str) -> list[str]:
    """The columns of a table, in their order."""
    return list(tables()[table]["columns"])


def ordered() -> dict[str, list[str]]:
    """The columns of every table that is written in the order of the list."""
    return {name: columns_of(name) for name, table in tables().items() if table.get("ordered")}
