"""The report's rows on claims: what decided each, by which bound, and which figures show it."""

import re

import pandas as pd

from puzzles.analysis.claims import ABSENT, NO, OPEN, SHOWN, YES, parts_of_why
from puzzles.config.configuration import Config

OUTCOMES = {YES: "holds", NO: "fails", OPEN: "undecided", ABSENT: "not measured", SHOWN: "only shown"}
TEXTS = ("paper", "interval", "asked", "experiments", "outcome")  # columns that are empty where there is nothing to say


def claim_rows(card: pd.DataFrame, config: Config) -> list[dict]:
    """The scorecard with what the page shows beside it.

    ``names`` (and ``numbers``, for the filter): the figures of this run that a claim is about. ``linked``: its column
    ``figure`` in parts that lead to them. ``reason``: why the run cannot decide it. ``tests``: a sentence for each test.
    ``result``: what the test comes to whose value is shown; empty where there is a reason.
    """
    rows = []
    for row in card.reindex(columns=list(dict.fromkeys([*card.columns, *TEXTS]))).to_dict("records"):
        row |= {column: "" for column in TEXTS if row[column] != row[column]}
        numbers = figures_of(row["figure"])
        reason, tests = parts_of_why(row["why"])
        names = [name for number in numbers if (name := figure_name(number)) in config.figures]
        if numbers == ["other"] and len(row["experiments"].split()) == 1:  # about no figure of the paper: those that show it
            names = [name for name in config.figures if row["experiments"] in config.figure_experiments(name)]
            numbers += [figure_number(name) for name in names]
        row |= {"numbers": numbers, "names": names, "reason": reason, "tests": tests}
        row |= {"linked": _linked(row["figure"], names), "result": "" if reason else OUTCOMES.get(row["outcome"], "")}
        if row["ours"] != row["ours"]:  # why there is no value
            because = (t.removeprefix(row["quantity"]).lstrip(": ") for t in tests if t.startswith(row["quantity"]))
            row["reason"] = reason or next(because, row["why"])
        rows.append(row)
    return rows


def _linked(text: str, names: list[str]) -> list[tuple[str, str]]:
    """The text in parts, each with the figure that it is the number of, or with nothing: ``2 b`` gives 2 (fig02), b."""
    parts = [(part, figure_name(part)) for part in re.split(r"(\d+|\bJ\b)", text) if part]
    linked = [(part, name if name in names else "") for part, name in parts]
    if any(name for _, name in linked) or not names:
        return linked
    shown = [pair for name in names for pair in ((figure_number(name), name), (", ", ""))]
    return [(f"{text} (", ""), *shown[:-1], (")", "")]


def claims_of(rows: list[dict], figure: str) -> list[dict]:
    """The claims that are about a figure."""
    return [row for row in rows if figure in row["names"]]


def figure_name(number: str) -> str:
    """``2`` to ``fig02``, ``J`` to ``figJ``."""
    return f"fig{number.zfill(2)}" if number.isdigit() else f"fig{number}"


def figure_number(name: str) -> str:
    """``fig02`` to ``2``."""
    return name.removeprefix("fig").lstrip("0")


def figures_of(text: str) -> list[str]:
    """The figures that a claim is about, for the filter: ``5-8, 11`` gives 5, 6, 7, 8, 11; a claim about none, ``other``."""
    numbers = []
    of_figures = "" if text.startswith(("App", "sec", "all")) else text
    for first, last in re.findall(r"\b(\d+|J)\b(?:-(\d+))?", of_figures):
        numbers += [str(k) for k in range(int(first), int(last) + 1)] if last else [first]
    return numbers or ["other"]
