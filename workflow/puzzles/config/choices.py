"""List the settings that are our choice, from the comments of config.yaml, and those that a run has changed."""

import json
from collections.abc import Iterator
from pathlib import Path

import yaml

from puzzles.base import paths

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
    before, after = (dict(_leaves(tree)) for tree in (yaml.safe_load(path.read_text()), raw))
    rows = []
    for key in [*before, *(k for k in after if k not in before)]:
        pair = [before.get(key, MISSING), after.get(key, MISSING)]
        if pair[0] != pair[1] and key[0] != "data_dir":
            was, now = ("" if value is MISSING else _short(value) for value in pair)
            rows.append({"key": ".".join(key), "paper": was, "here": now})
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
