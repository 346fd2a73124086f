"""Draw any figure of the configuration from the tables."""

import math
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import FuncFormatter, MaxNLocator

from puzzles import style
from puzzles.experiments import Experiment
from puzzles.files import atomic
from puzzles.fits import UNNORMALIZED


def draw(
    figure: dict,
    experiments: dict[str, Experiment],
    measurements: pd.DataFrame,
    fits: pd.DataFrame,
    png: str | Path,
    pdf: str | Path,
) -> None:
    """Draw a figure: its entry in the configuration, with the tables of the experiments it names."""
    panels = figure["panels"]
    columns = min(len(panels), figure.get("columns", 2))
    with style.figure(math.ceil(len(panels) / columns), columns) as (drawn, axes):
        handles: dict[str, plt.Artist] = {}
        for panel, ax in zip(panels, axes, strict=False):
            experiment = experiments[panel["experiment"]]
            scatter(ax, panel, points(panel, experiment, measurements), panel_fits(panel, experiment, fits))
            handles |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
        for ax in axes[len(panels) :]:
            ax.remove()
        shown = experiments[panels[0]["experiment"]]
        _colour_bar(drawn, axes[: len(panels)], shown)
        drawn.suptitle(figure["title"], fontsize=11)
        drawn.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3 if columns > 1 else 2)
        for path in (png, pdf):
            with atomic(path) as temporary:
                # without a date, so that equal figures are equal files
                drawn.savefig(temporary, metadata={"CreationDate": None} if temporary.suffix == ".pdf" else None)


def points(panel: dict, experiment: Experiment, measurements: pd.DataFrame) -> pd.DataFrame:
    """The rows of the measurements that a panel shows: one for each network."""
    snapshot = panel.get("snapshot", experiment.select[0].name)
    norm = panel.get("norm", experiment.norms[0])
    table = measurements[measurements.experiment == experiment.name]
    table = table[(table.snapshot == snapshot) & (table.norm == norm)]
    return table[table.group.isin(panel["groups"])] if "groups" in panel else table


def panel_fits(panel: dict, experiment: Experiment, fits: pd.DataFrame) -> pd.Series | None:
    """The fitted line of a panel of test against training loss, over the groups that it shows."""
    normalized = panel["x"].startswith("norm_")
    norm = panel.get("norm", experiment.norms[0]) if normalized else UNNORMALIZED
    with_random = any(n.spec.labels == "random" and n.group in panel.get("groups", [n.group]) for n in experiment.networks)
    match = (
        (fits.experiment == experiment.name)
        & (fits.snapshot == panel.get("snapshot", experiment.select[0].name))
        & (fits.norm == norm)
        & (fits.networks == ("all" if with_random else "without_random_labels"))
    )
    found = fits[match]
    return found.iloc[0] if len(found) else None


def scatter(ax: plt.Axes, panel: dict, table: pd.DataFrame, fit: pd.Series | None) -> None:
    """One panel: a point for each network, coloured by the swept value, and the lines asked for."""
    if "title" in panel:
        ax.set_title(panel["title"], loc="left")
    colours = _colours(table.value)
    kinds = {
        "network": (~table.random_labels & table.met_criterion, {"marker": "o", "s": 34}),
        "random labels": (table.random_labels & table.met_criterion, {"marker": "*", "s": 150, "edgecolor": style.RED}),
        "missed its criterion": (~table.met_criterion, {"marker": "X", "s": 44, "edgecolor": style.GREY}),
    }
    for label, (kind, marker) in kinds.items():
        if kind.any():
            rows = table[kind]
            look = {"linewidth": 0.7, "edgecolor": "white", "zorder": 3} | marker
            ax.scatter(rows[panel["x"]], rows[panel["y"]], c=colours(rows.value), label=label, **look)
    for axis in panel.get("log", ""):
        getattr(ax, f"set_{axis}scale")("log")
    ax.set_xlabel(_label(panel, "x"))
    ax.set_ylabel(_label(panel, "y"))
    _lines(ax, panel, table, fit)
    for axis, name in ((ax.xaxis, "x"), (ax.yaxis, "y")):
        if name not in panel.get("log", ""):
            axis.set_major_locator(MaxNLocator(4 if name == "x" else 6))
            axis.set_major_formatter(FuncFormatter(_plain))


def _lines(ax: plt.Axes, panel: dict, table: pd.DataFrame, fit: pd.Series | None) -> None:
    ax.autoscale_view()
    limits, y_limits = ax.get_xlim(), ax.get_ylim()
    x = np.linspace(*limits, 200)
    lines = {}
    has_line = fit is not None and np.isfinite(fit.slope)
    for kind in panel.get("lines", []):
        if kind == "ols" and has_line:
            lines["least squares"] = (fit.intercept + fit.slope * x, {"color": style.BLACK})
        elif kind == "unit_slope" and has_line:
            lines["slope 1"] = (x + fit.unit_slope_intercept, {"color": style.BLUE, "linestyle": "-."})
        elif kind == "diagonal":
            lines["diagonal"] = (x, {"color": style.GREY, "linestyle": ":"})
        elif kind == "psi_inverse":
            lines["shape of Eq. 12"] = (_psi_inverse(x - table[panel["x"]].min()), {"color": style.BLUE})
    if "paper" in panel:
        stated = panel["paper"]["intercept"] + panel["paper"]["slope"] * x
        lines["the paper's line"] = (stated, {"color": style.ORANGE, "linestyle": "--"})
    for label, (y, look) in lines.items():
        ax.plot(x, y, label=label, zorder=2, **look)
    ax.set_xlim(limits)
    if "psi_inverse" not in panel.get("lines", []):
        ax.set_ylim(y_limits)
    if has_line and "ols" in panel.get("lines", []):
        text = f"slope {fit.slope:.3f}, $R^2$ {fit.r2:.4f}, n = {fit.n:.0f}"
        ax.text(0.02, 0.97, text, transform=ax.transAxes, va="top", fontsize=9)


def _psi_inverse(u: np.ndarray) -> np.ndarray:
    """psi^-1(u) = sqrt(u (2 - u)) up to u = 1 and 1 beyond (Eq. 12 for the exponential loss); nothing below 0."""
    inside = np.clip(u, 0, 1)
    return np.where(u < 0, np.nan, np.sqrt(inside * (2 - inside)))


def _colours(values: pd.Series) -> callable:
    scale = _scale(values)
    return lambda v: plt.get_cmap(style.VALUES)(scale(v.to_numpy()))


def _scale(values: pd.Series) -> Normalize:
    low, high = values.min(), values.max()
    positive = values[values > 0]
    if len(positive) and high > 20 * positive.min():
        return LogNorm(positive.min(), high, clip=True)  # 0 takes the colour of the smallest
    return Normalize(low, high if high > low else low + 1)


def _colour_bar(drawn: plt.Figure, axes: list[plt.Axes], experiment: Experiment) -> None:
    values = pd.Series([n.value for n in experiment.networks])
    bar = drawn.colorbar(ScalarMappable(_scale(values), style.VALUES), ax=axes, pad=0.02, aspect=30)
    bar.set_label(style.AXES.get(experiment.networks[0].axis, experiment.networks[0].axis.replace("_", " ")))


def _label(panel: dict, axis: str) -> str:
    column = panel[axis]
    label = style.LABELS.get(column)
    if label is None:
        _, split, statistic = column.split("_")
        label = f"normalized {split} margin ({statistic})"
    return f"{label} (log scale)" if axis in panel.get("log", "") else label


def _plain(value: float, _: int) -> str:
    return f"{value:.6g}"
