"""The answer at the top of the report: three sentences and five numbers, true whatever the tables say."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from puzzles.analysis.claims import NOT_REPRODUCED, NOT_RUN, REPRODUCED, UNDECIDED
from puzzles.analysis.columns import WITHOUT
from puzzles.config.configuration import Config
from puzzles.output.evidence_sections import with_its_own_rho
from puzzles.output.style import r_squared_text

LINES = {"ols", "unit_slope"}  # of a panel: the lines that say whether training loss predicts test loss


def headline(config: Config, line: list[dict], ranks: pd.DataFrame, verdicts: dict[str, int], trained: dict) -> dict:
    """``sentences`` and ``numbers`` (value, what it is, where it is explained).

    Args:
        line: ``evidence_sections.line_rows``; only experiments whose line a figure draws count.
        verdicts: how many claims have each verdict.
        trained: how many ``networks`` there are, and how many of them ``missed``, ``diverged`` and are ``dead``.
    """
    drawn = experiments_with_lines(config)
    rows = [row for row in line if row["experiment"] in drawn and np.isfinite(row["normalized"]["slope"])]
    own = with_its_own_rho(rows)
    before, after, slopes = (
        [row[which][column] for row in rows]
        for which, column in (("unnormalized", "r2"), ("normalized", "r2"), ("normalized", "slope"))
    )
    decided = verdicts[REPRODUCED] + verdicts[NOT_REPRODUCED]
    judged = decided + verdicts[UNDECIDED]
    as_good = f"{own['permuted_rho']} of {own['experiments']}" if own["experiments"] else "–"
    missed, diverged, dead = (trained[kind] for kind in ("missed", "diverged", "dead"))
    numbers = [
        (f"{verdicts[REPRODUCED]} of {judged}", "claims judged here are reproduced", "#scorecard"),
        (_range(after, r_squared_text), f"R² of the lines, normalized (before: {_range(before, r_squared_text)})", "#line"),
        (_range(slopes, _three), "slope of the lines, normalized", "#lines"),
        (as_good, "lines are as good with another network's ρ", "#line"),
        (
            f"{trained['networks']:,}",
            f"networks; {missed} missed their criterion, {diverged} diverged, {dead} died",
            "#trained",
        ),
    ]
    sentences = [_on_lines(rows, before, after, slopes, _taus(ranks, rows)), _on_nulls(own), _on_claims(verdicts)]
    return {"sentences": sentences, "numbers": [dict(zip(("value", "what", "link"), n, strict=True)) for n in numbers]}


def experiments_with_lines(config: Config) -> set[str]:
    """The experiments for which a figure draws the line of normalized test on training loss."""
    panels = [panel for figure in config.figures.values() for panel in figure["panels"]]
    about = [p for p in panels if p.get("x") == "norm_train_loss" and LINES & set(p.get("lines", ()))]
    return {panel["experiment"] for panel in about}


def _on_lines(rows: list[dict], before: list, after: list, slopes: list, taus: list) -> str:
    if not rows:
        none = "No figure of this run has a line of normalized test on training loss: "
        return f"{none}it does not say whether one predicts the other."
    where = f"the {len(rows)} experiments" if len(rows) > 1 else f"the one experiment ({rows[0]['experiment']})"
    text = f"In {where} whose line the figures draw, R² of test on training loss is {_range(before, r_squared_text)} before "
    text += f"normalization and {_range(after, r_squared_text)} after it, with slope{'s of' if len(rows) > 1 else ''} "
    text += _range(slopes, _three)
    if taus:
        text += f"; Kendall's τ of normalized training loss with test error is {_range(taus, _two)} (1: it ranks them all)"
    return f"{text}."


def _on_nulls(own: dict[str, int]) -> str:
    if not own["experiments"]:
        return "There is no such line to hold against families of networks that cannot be about generalization."
    text = (
        f"With each network divided by another one's ρ the line is as good (R² at most .01 lower) in {own['permuted_rho']} "
    )
    text += (
        f"of {own['experiments']}, and with all divided by one constant in {own['common_constant']}: where it is as good, "
    )
    return text + "the line is no evidence about generalization."


def _on_claims(verdicts: dict[str, int]) -> str:
    return (
        f"This run reproduces {verdicts[REPRODUCED]} of {sum(verdicts.values())} claims of the paper and does not reproduce"
        f" {verdicts[NOT_REPRODUCED]}; it leaves {verdicts[UNDECIDED]} undecided, and does not have the data, sizes or"
        f" experiments for {verdicts[NOT_RUN]}."
    )


def _taus(ranks: pd.DataFrame, rows: list[dict]) -> list[float]:
    """Kendall's tau of the normalized training loss with the test error, over natural labels, in these experiments."""
    if ranks.empty:
        return []
    found = []
    for row in rows:
        line = row["normalized"]
        match = (ranks.experiment == row["experiment"]) & (ranks.networks == WITHOUT) & (ranks.norm == line["norm"])
        found += list(ranks[match & (ranks.predictor == "norm_train_loss")].tau.dropna()[:1])
    return found


def _range(values: list[float], text: Callable[[float], str]) -> str:
    known = sorted(v for v in values if v == v)
    if not known:
        return "not known"
    ends = list(dict.fromkeys([text(known[0]), text(known[-1])]))
    return " to ".join(ends)


def _three(value: float) -> str:
    return f"{value:#.3g}".replace("-", "−")


def _two(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
