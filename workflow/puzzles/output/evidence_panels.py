"""Panels that the paper does not have: what its line is made of, what else predicts, and when to stop."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from puzzles.analysis.columns import FAMILIES, WITHOUT
from puzzles.analysis.predictors import OWN, pool
from puzzles.output import style

FAMILY_LOOKS = {  # marker and colour; greys for what is not trained to the end
    "untrained": ("v", style.GREY),
    "early": (".", style.ZERO),
    "permuted_rho": ("x", style.RED),
    "common_constant": ("+", style.ORANGE),
    "one_rescaled": ("s", style.GREEN),
}
MONITORED_LOOKS = {"norm_train_loss": style.BLUE, "train_loss": style.ORANGE, "norm_test_loss": style.GREEN}


def families(ax: plt.Axes, panel: dict, table: pd.DataFrame, rows: pd.DataFrame) -> None:
    """Depth of test against depth of training, for the networks as they are and for the null families, on log axes.

    Args:
        table: the measurements with depths, one row for each network.
        rows: the table of families of this experiment.
    """
    chance = float(table.chance_loss.iloc[0])
    for family in FAMILIES:
        points = rows[rows.family == family]
        marker, colour = FAMILY_LOOKS[family]
        _depths(
            ax, chance - points.norm_train_loss, chance - points.norm_test_loss, family.replace("_", " "), marker, colour
        )
    natural = table[~table.random_labels & table.met_criterion]
    _depths(ax, natural.depth_train, natural.depth_test, "each by its own ρ", "o", style.BLUE)
    random = table[table.random_labels & table.met_criterion]
    _depths(ax, random.depth_train, random.depth_test, "random labels", "*", style.BLACK)
    ax.set_xscale("log")
    ax.set_yscale("log")
    losses = pd.concat([rows, table[table.met_criterion]])[["norm_train_loss", "norm_test_loss"]]
    hidden = int((losses.max(axis=1) >= chance).sum())
    ends = ax.get_xlim()
    ax.plot(ends, ends, color=style.BLACK, linestyle=":", linewidth=1, label="r = 1", zorder=1)
    ratio = float(natural.margin_ratio.median())
    if np.isfinite(ratio) and ratio > 0:
        ax.plot(ends, [ratio * end for end in ends], color=style.BLUE, linewidth=1, label="through the pivot", zorder=1)
        panel = {**panel, "title": f"{panel.get('title', '')}\nmedian r = {ratio:.3f}".strip()}
    if hidden:
        panel = {**panel, "title": f"{panel.get('title', '')}\n{hidden} with a loss of ln C or more not shown".strip()}
    ax.set_xlim(ends)
    _heads(ax, panel, r"$\ln C$ − normalized training loss", r"$\ln C$ − normalized test loss")


def _depths(ax: plt.Axes, x: pd.Series, y: pd.Series, label: str, marker: str, colour: str) -> None:
    shown = (x > 0) & (y > 0)
    if shown.any():
        size = 110 if marker == "*" else 14 if marker == "." else 30
        ax.scatter(
            x[shown], y[shown], marker=marker, c=colour, s=size, label=label, linewidth=1, zorder=2 + (marker in "o*")
        )


def rescaling(ax: plt.Axes, panel: dict, rows: pd.DataFrame) -> None:
    """R2 of the line, and tau of test error with training loss, against the factor R on normalized outputs (Eq. 6)."""
    swept = rows[rows.rescaling != "rho"]
    x = swept.rescaling.astype(float)
    for column, label, colour, marker in (
        ("r2", "$R^2$ of test on training loss", style.BLUE, "o"),
        ("tau", "Kendall's τ with test error", style.RED, "s"),
    ):
        ax.plot(x, swept[column], color=colour, marker=marker, label=label)
        own = rows[rows.rescaling == "rho"][column]
        if len(own) and len(x):
            ax.plot(x.max() * 10, own.iloc[0], color=colour, marker=marker, markerfacecolor="white", linestyle="")
    ax.set_xscale("log")
    ax.set_ylim(-1.05, 1.05)
    ax.axhline(0, color=style.GREY, linestyle=(0, (1, 2)), zorder=1)
    _heads(ax, panel, "factor R on normalized outputs (hollow: R = ρ)", "$R^2$, τ")


def predictors(ax: plt.Axes, panel: dict, rows: pd.DataFrame) -> None:
    """Kendall's tau of each predictor with the test error, with its interval; hollow: given the swept variable."""
    first = rows[(rows.networks == WITHOUT) & (rows.norm == rows.norm.iloc[0]) & rows.tau.notna()]
    places = np.arange(len(first))[::-1]
    ends = np.clip([first.tau - first.tau_low, first.tau_high - first.tau], 0, None)
    ax.errorbar(first.tau, places, xerr=np.nan_to_num(ends), fmt="o", color=style.BLUE, capsize=2, label="τ with test error")
    partial = first.partial_tau
    ax.plot(
        partial, places, "o", color=style.BLUE, markerfacecolor="white", linestyle="", label="τ given the swept variable"
    )
    ax.set_yticks(places, [style.predictor_label(p) for p in first.predictor])
    ax.axvline(0, color=style.GREY, linestyle=(0, (1, 2)), zorder=1)
    ax.set_xlim(-1.05, 1.05)
    _heads(ax, panel, "Kendall's τ (positive: predicts as expected)", "")


def pooled_predictors(ax: plt.Axes, panel: dict, rows: pd.DataFrame) -> None:
    """Kendall's tau of each predictor in every experiment, with the mean, from the worst experiment to the best."""
    if rows.empty:
        nothing_measured(ax, panel)
        return
    pooled = pool(rows)
    pooled = pooled[pooled.norm == OWN].set_index("predictor")
    firsts = rows[(rows.networks == WITHOUT) & (rows.norm == rows.groupby("experiment").norm.transform("first"))]
    for place, (predictor, row) in zip(np.arange(len(pooled))[::-1], pooled.iterrows(), strict=True):
        ax.plot([row.worst_tau, row.best_tau], [place] * 2, color=style.GREY, label="worst to best experiment", zorder=1)
        taus = firsts[firsts.predictor == predictor].tau
        ax.plot(taus, [place] * len(taus), ".", color=style.BLUE, markersize=4, label="one experiment", zorder=2)
        ax.plot(row.mean_tau, place, "D", color=style.RED, markersize=5, label="mean", zorder=3)
    ax.set_yticks(np.arange(len(pooled))[::-1], [style.predictor_label(str(p)) for p in pooled.index])
    ax.axvline(0, color=style.GREY, linestyle=(0, (1, 2)), zorder=1)
    ax.set_xlim(-1.05, 1.05)
    _heads(ax, panel, "Kendall's τ (positive: predicts as expected)", "")


def monitoring(ax: plt.Axes, panel: dict, rows: pd.DataFrame) -> None:
    """Test error lost by stopping where a number is smallest, beside the best epoch of the same training."""
    draw = np.random.default_rng(0)
    lost = [(rows[rows.monitored == column].regret, colour) for column, colour in MONITORED_LOOKS.items()]
    last = rows[rows.monitored == "train_loss"]
    for place, (values, colour) in enumerate([*lost, (last.error_last - last.error_best, style.GREY)]):
        ax.scatter(place + draw.uniform(-0.15, 0.15, len(values)), values, color=colour, s=18, alpha=0.7, zorder=2)
        if len(values):
            ax.plot([place - 0.3, place + 0.3], [values.median()] * 2, color=style.BLACK, label="median", zorder=3)
    names = ["normalized\ntraining loss", "training\nloss", "normalized\ntest loss", "last\nepoch"]
    ax.set_xticks(range(4), names)
    ax.set_ylim(bottom=min(0, ax.get_ylim()[0]))
    _heads(ax, panel, "stopped where this is smallest", "test error lost")


def nothing_measured(ax: plt.Axes, panel: dict) -> None:
    """Say that the run has no such table."""
    ax.text(0.5, 0.5, "not measured in this run", transform=ax.transAxes, ha="center")
    _heads(ax, panel, "", "")


def _heads(ax: plt.Axes, panel: dict, x: str, y: str) -> None:
    ax.set_title(panel.get("title", ""), loc="left")
    ax.set_xlabel(x)
    ax.set_ylabel(y)
