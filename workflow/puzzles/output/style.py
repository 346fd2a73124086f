"""How every figure looks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from cycler import cycler
from matplotlib.typing import RcKeyType

from puzzles.config.experiments import Experiment

Look = dict[str, Any]  # matplotlib's arguments that say how something is drawn

# Okabe and Ito's colours: distinct with any colour vision and, from dark to light, in greyscale.
BLACK, BLUE, ORANGE, GREEN, RED, GREY = "#000000", "#0072B2", "#E69F00", "#009E73", "#D55E00", "#777777"
VALUES = "viridis"  # for the swept value
ZERO = "#999999"  # for a value of 0 on a logarithmic scale
PANEL = (4.2, 3.6)  # inches

SETTINGS: dict[RcKeyType, Any] = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.prop_cycle": cycler(color=[BLUE, ORANGE, GREEN, RED, GREY]),
    "axes.formatter.useoffset": False,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.2,
    "figure.dpi": 100,
    "savefig.dpi": 160,
    "pdf.fonttype": 42,  # embeds text as text, not as curves
    "svg.hashsalt": "puzzles",
}

LABELS = {
    "rho": r"product of norms $\rho$",
    "train_loss": r"training loss $\hat L(f)$",
    "test_loss": r"test loss $L(f)$",
    "train_error": "training error",
    "test_error": "test error",
    "norm_train_loss": r"normalized training loss $\hat L(\tilde f)$",
    "norm_test_loss": r"normalized test loss $L(\tilde f)$",
    "norm_train_error": r"training error of $\tilde f$",
    "norm_test_error": r"test error of $\tilde f$",
    "error_gap": "generalization gap (test - training)",
    "loss_gap": "generalization gap $L(f) - \\hat L(f)$",
    "norm_loss_gap": r"gap $L(\tilde f) - \hat L(\tilde f)$",
    "max_output": "largest output of $f$",
    "norm_max_output": r"largest output of $\tilde f$",
    "inverse_margin_min": "1 / smallest normalized margin",
    "inverse_margin_p01": "1 / normalized margin (1 % quantile)",
    "inverse_margin_p10": "1 / normalized margin (10 % quantile)",
    "active_units": "active units (share, smallest layer)",
    "num_parameters": "number of parameters",
    "train_size": "training examples $N$",
}
YELLOW = "#F0C000"  # the paper draws the gap in yellow
SERIES: dict[str, Look] = {  # how a column looks where several share a panel
    **{f"{prefix}train_{what}": {"color": BLUE, "linestyle": "-"} for prefix in ("", "norm_") for what in ("error", "loss")},
    **{f"{prefix}test_{what}": {"color": RED, "linestyle": "--"} for prefix in ("", "norm_") for what in ("error", "loss")},
    **{f"{prefix}_gap": {"color": YELLOW, "linestyle": "-", "linewidth": 3.5} for prefix in ("error", "loss", "norm_loss")},
}
AXES = {
    "init_std": "standard deviation of the initial weights",
    "init_gain": "factor on the initial weights",
    "corruption": "corruption of the pretraining labels",
    "train_size": "training examples $N$",
    "width": "width of the hidden layers",
}


def axis_label(axis: str) -> str:
    """The words for a swept setting."""
    return AXES.get(axis, axis.replace("_", " "))


def group_label(group: str, experiment: Experiment) -> str:
    """The words for a group of networks: one name in every figure.

    ``natural`` stands for all natural-label networks of an experiment, or for those that were not pretrained.
    """
    words = {"natural": "natural labels", "pretrained": "pretrained on corrupted labels"}
    if experiment.pretrainings:
        words["natural"] = "not pretrained"
    return words.get(group, group.replace("_", " "))


def label(column: str) -> str:
    """The words for a column of the tables."""
    if column.startswith("margin_"):
        _, split, statistic = column.split("_")
        return f"normalized {split} margin ({statistic})"
    return LABELS[column]


def words(column: str, experiment: Experiment | None = None) -> str:
    """A column without symbols: ``normalized training loss``; of an experiment, the setting that was swept."""
    if column == "value" and experiment is not None:
        return axis_label(experiment.networks[0].axis).replace(" $N$", "")
    plain = {"rho": "product of norms", "error_gap": "generalization gap", "norm_loss_gap": "gap of the normalized losses"}
    return plain.get(column, column.replace("norm_", "normalized ").replace("train_", "training ").replace("_", " "))


def predictor_label(predictor: str) -> str:
    """The words for what might predict the test error."""
    words = {
        "value": "the swept variable",
        "epoch": "number of epochs",
        "path_norm": "path norm",
        "fisher_rao": "Fisher-Rao norm",
    }
    words |= {"distance_from_init": "distance from init", "sum_of_squares": "sum of squares", "rho": "product of norms ρ"}
    words |= {"margin_train_mean": "mean margin", "margin_train_median": "median margin", "active_units": "active units"}
    return words.get(
        predictor,
        predictor.replace("norm_", "normalized ")
        .replace("train_", "training ")
        .replace("inverse_margin", "1 / margin")
        .replace("_", " "),
    )


def series_look(column: str) -> Look:
    """Colour and dashes of a column that shares a panel with others."""
    return SERIES.get(column, {"color": GREEN, "linestyle": "-"})


def r_squared_text(value: float) -> str:
    """R2 as text; close to 1 as its distance from 1, e.g. ``1 - 3.1e-06``."""
    if value != value:
        return "–"
    return f"{value:.4f}" if value < 0.9999 else f"1 − {1 - value:.1e}"


@contextmanager
def figure(rows: int, columns: int) -> Iterator[tuple[plt.Figure, list[plt.Axes]]]:
    """A figure of panels in the house style, closed afterwards. Nothing of the user's matplotlib settings is in it."""
    with plt.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        size = (PANEL[0] * columns + 0.9, PANEL[1] * rows + 0.9)
        drawn, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
        try:
            yield drawn, list(axes.flat)
        finally:
            plt.close(drawn)
