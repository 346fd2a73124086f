"""List the settings that are our choice, from the comments of config.yaml, and those that a run has changed."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from puzzles.base import paths
from puzzles.config.configuration import Config

OURS = "our choice"
MISSING = object()


def our_choices(raw: dict, path: Path = paths.PAPER_CONFIG) -> list[dict]:
    """Every setting whose line in config.yaml says "our choice": its key, its value in this run, and what the comment says.

    Args:
        raw: the run's whole configuration; a setting that it has removed is left out.
    """
    text = path.read_text()
    on_line: dict[int, tuple[str, ...]] = {}
    for key, at in _keys(yaml.compose(text)):
        on_line.setdefault(at, key)  # the outermost key of a line: keys come before those inside them
    found = []
    for number, line in enumerate(text.splitlines()):
        comment = line.partition("#")[2].strip()
        if OURS in comment and number in on_line:
            value = _at(raw, on_line[number])
            if value is not MISSING:
                found.append({"key": ".".join(on_line[number]), "value": _short(value), "note": comment})
    return found


def changes(raw: dict, path: Path = paths.PAPER_CONFIG) -> list[dict]:
    """Every setting that differs from config.yaml: its key, the value there and the value here (empty if missing)."""
    return [{"key": key, "paper": was, "here": now} for key, was, now in _differences(yaml.safe_load(path.read_text()), raw)]


def note_other_configuration(config: Config) -> None:
    """Say on the terminal if the last finished run of this name had another configuration: its results will be replaced."""
    finished = Path(paths.run(config.run, "config.yaml"))
    if not finished.is_file():
        return
    found = [
        row for row in _differences(yaml.safe_load(finished.read_text()), config.raw) if not row[0].startswith("runtime.")
    ]
    if found:
        listed = ", ".join(f"{key} was {was or 'missing'}, is {now or 'missing'}" for key, was, now in found[:3])
        more = f", and {len(found) - 3} more" if len(found) > 3 else ""
        print(
            f"{finished.parent} was made with another configuration ({listed}{more}); what differs is replaced."
            " To keep both, give this one a name of its own: run.name",
            file=sys.stderr,
        )


def _differences(before: dict, after: dict) -> list[tuple[str, str, str]]:
    """Key, value before and value after (empty if missing) of every setting that differs, but for the folder of the data."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    rows = []
    for key in [*old, *(k for k in new if k not in old)]:
        pair = [old.get(key, MISSING), new.get(key, MISSING)]
        if pair[0] != pair[1] and key[0] != "data_dir":
            was, now = ("" if value is MISSING else _short(value) for value in pair)
            rows.append((".".join(key), was, now))
    return rows


def _keys(node: yaml.Node | None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value != "<<":
                yield (*path, key.value), key.start_mark.line
                yield from _keys(value, (*path, key.value))


def _leaves(tree: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from _leaves(value, (*path, str(key)))
    elif tree is not None:
        yield path, tree


def _at(tree: object, path: tuple[str, ...]) -> object:
    for key in path:
        if not isinstance(tree, dict) or key not in tree:
            return MISSING
        tree = tree[key]
    return tree


def _short(value: object, most: int = 110) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"
