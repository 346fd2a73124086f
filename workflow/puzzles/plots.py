"""Draw any figure of the configuration from the tables."""

import math
import textwrap
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from puzzles import style
from puzzles.experiments import Experiment
from puzzles.files import atomic
from puzzles.fits import UNNORMALIZED

Colours = Callable[[pd.Series], np.ndarray]  # of the swept values


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
            table, fit = points(panel, experiment, measurements), panel_fits(panel, experiment, fits)
            scatter(ax, panel, experiment, table, fit)
            handles |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
        for ax in axes[len(panels) :]:
            ax.remove()
        shown = experiments[panels[0]["experiment"]]
        _colour_bar(drawn, axes[: len(panels)], shown)
        drawn.suptitle(textwrap.fill(figure["title"], 52 * columns), fontsize=11)
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


def scatter(ax: plt.Axes, panel: dict, experiment: Experiment, table: pd.DataFrame, fit: pd.Series | None) -> None:
    """One panel: a point for each network, coloured by the swept value, and the lines asked for."""
    if "title" in panel:
        ax.set_title(panel["title"], loc="left")
    colours = _colours(experiment)
    markers = dict(zip(dict.fromkeys(n.group for n in experiment.networks), cycle("os^Dv"), strict=False))
    for group in table.group.unique():
        rows = table[(table.group == group) & table.met_criterion]
        look = {"marker": markers[group], "s": 34, "edgecolor": "white"}
        if rows.random_labels.any():
            look = {"marker": "*", "s": 150, "edgecolor": style.RED}
        label = "networks" if len(markers) == 1 else group.replace("_", " ")
        _points(ax, panel, rows, colours, label, look)
    missed = table[~table.met_criterion]
    _points(ax, panel, missed, colours, "missed the criterion", {"marker": "X", "s": 44, "edgecolor": style.GREY})
    for axis in panel.get("log", ""):
        getattr(ax, f"set_{axis}scale")("log")
    ax.set_xlabel(_label(panel, "x", experiment))
    ax.set_ylabel(_label(panel, "y", experiment))
    _lines(ax, panel, table, fit)
    for axis, name in ((ax.xaxis, "x"), (ax.yaxis, "y")):
        if name in panel.get("log", ""):
            _log_ticks(axis)
        else:
            axis.set_major_locator(MaxNLocator(4 if name == "x" else 6))


def _points(ax: plt.Axes, panel: dict, rows: pd.DataFrame, colours: Colours, label: str, look: dict) -> None:
    if len(rows):
        x, y = rows[panel["x"]], rows[panel["y"]]
        ax.scatter(x, y, c=colours(rows.value), label=label, linewidth=0.7, zorder=3, **look)


def _log_ticks(axis: Axis) -> None:
    """Round numbers within a decade, 1, 2, 5 within two, whole decades beyond."""
    low, high = axis.get_view_interval()
    if high / low < 10:
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    else:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 200 else (1,)))
    axis.set_minor_formatter(NullFormatter())
    if high / low < 200:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


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
        lines["the paper's line, on its data"] = (stated, {"color": style.ORANGE, "linestyle": "--"})
    for label, (y, look) in lines.items():
        ax.plot(x, y, label=label, zorder=2, **look)
    ax.set_xlim(limits)
    if "psi_inverse" not in panel.get("lines", []):
        ax.set_ylim(y_limits)
    if has_line and "ols" in panel.get("lines", []):
        text = f"slope {fit.slope:.3f}, $R^2$ = {style.r_squared(fit.r2)}, n = {fit.n:.0f}"
        ax.text(0.02, 0.97, text, transform=ax.transAxes, va="top", fontsize=9)


def _psi_inverse(u: np.ndarray) -> np.ndarray:
    """psi^-1(u) = sqrt(u (2 - u)) up to u = 1 and 1 beyond (Eq. 12 for the exponential loss); nothing below 0."""
    inside = np.clip(u, 0, 1)
    return np.where(u < 0, np.nan, np.sqrt(inside * (2 - inside)))


def _colours(experiment: Experiment) -> Colours:
    scale, colours = _scale(experiment), plt.get_cmap(style.VALUES).with_extremes(bad=style.ZERO)
    return lambda values: colours(scale(np.ma.masked_where(_is_off_scale(values, scale), values)))


def _is_off_scale(values: pd.Series, scale: Normalize) -> np.ndarray:
    return (values <= 0).to_numpy() if isinstance(scale, LogNorm) else np.zeros(len(values), dtype=bool)


def _scale(experiment: Experiment) -> Normalize:
    values = np.array([n.value for n in experiment.networks])
    low, high = values.min(), values.max()
    positive = values[values > 0]
    if len(positive) and high > 20 * positive.min():
        return LogNorm(positive.min(), high)  # 0 has a colour of its own
    return Normalize(low, high if high > low else low + 1)


def _colour_bar(drawn: plt.Figure, axes: list[plt.Axes], experiment: Experiment) -> None:
    bar = drawn.colorbar(ScalarMappable(_scale(experiment), style.VALUES), ax=axes, pad=0.02, aspect=30)
    note = " (grey: 0)" if _is_off_scale(pd.Series([n.value for n in experiment.networks]), bar.norm).any() else ""
    bar.set_label(style.axis_label(experiment.networks[0].axis) + note)


def _label(panel: dict, axis: str, experiment: Experiment) -> str:
    column = panel[axis]
    if column == "value":
        label = style.axis_label(experiment.networks[0].axis)
    elif column.startswith("margin_"):
        _, split, statistic = column.split("_")
        label = f"normalized {split} margin ({statistic})"
    elif column == "rho" and panel.get("norm", experiment.norms[0]) == "output":
        label = r"norm of one output $\|f(x_0)\|$"
    else:
        label = style.LABELS[column]
    return f"{label} (log scale)" if axis in panel.get("log", "") else label
