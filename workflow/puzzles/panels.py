"""The kinds of panel that a figure is made of: points, series over a swept value, histograms."""

from collections.abc import Callable
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axis import Axis
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from puzzles import style
from puzzles.experiments import Experiment

Colours = Callable[[pd.Series], np.ndarray]  # of the swept values


def scatter(ax: plt.Axes, panel: dict, experiment: Experiment, table: pd.DataFrame, fit: pd.Series | None) -> None:
    """A point for each network, coloured by the swept value, and the lines asked for."""
    colours = _colours(experiment)
    groups = sorted({n.group for n in experiment.networks if n.spec.labels == "natural"}, key=lambda g: (g != "natural", g))
    markers = dict(zip(groups, cycle("os^Dv"), strict=False))
    for group in table.group.unique():
        rows = table[(table.group == group) & table.met_criterion]
        look = {"marker": markers.get(group, "*"), "s": 34, "edgecolor": "white"}
        if rows.random_labels.any():
            look = {"marker": "*", "s": 150, "edgecolor": style.RED}
        _points(ax, panel, rows, colours, style.group_label(group), look)
    for random, marker, label in ((False, "X", "missed the criterion"), (True, "*", "random labels, missed the criterion")):
        missed = table[~table.met_criterion & (table.random_labels == random)]
        look = {"marker": marker, "s": 110 if random else 44, "edgecolor": style.GREY}
        _points(ax, panel, missed, colours, label, look)
    _finish(ax, panel, experiment, table, fit)


def _points(ax: plt.Axes, panel: dict, rows: pd.DataFrame, colours: Colours, label: str, look: dict) -> None:
    rows = rows[rows[[panel["x"], panel["y"]]].notna().all(axis=1)]
    if len(rows):
        ax.scatter(rows[panel["x"]], rows[panel["y"]], c=colours(rows.value), label=label, linewidth=0.7, zorder=3, **look)


def series(ax: plt.Axes, panel: dict, experiment: Experiment, table: pd.DataFrame) -> None:
    """Several columns against one: the mean over seeds, with a bar from the smallest to the largest.

    A hollow marker stands for networks of which some missed the criterion. Beside natural labels, random ones are stars.
    """
    if isinstance(panel["y"], str):
        panel = {**panel, "y": [panel["y"]]}
    beside = table.random_labels if not table.random_labels.all() else table.random_labels & False
    for column in panel["y"]:
        look = style.series_look(column)
        _one_series(ax, panel["x"], table[~beside], column, look)
        for k, (_, row) in enumerate(table[beside].iterrows()):
            label = {"label": "random labels"} if k == 0 and column == panel["y"][0] else {}
            hollow = {} if row.met_criterion else {"markerfacecolor": "white"}
            ax.plot(row[panel["x"]], row[column], "*", color=look["color"], markersize=11, linestyle="", **label, **hollow)
    _finish(ax, panel, experiment, table, None)


def _one_series(ax: plt.Axes, x: str, table: pd.DataFrame, column: str, look: dict) -> None:
    by_x = table.groupby(x)
    middle, low, high = (getattr(by_x[column], f)() for f in ("mean", "min", "max"))
    bars = np.clip([middle - low, high - middle], 0, None)
    order = 1.5 if column.endswith("gap") else 2  # a gap can lie on the test error: behind it, and wider
    ax.errorbar(middle.index, middle, bars, label=style.label(column), capsize=2, elinewidth=0.8, zorder=order, **look)
    for met, fill in ((True, {}), (False, {"markerfacecolor": "white"})):
        chosen = middle[by_x.met_criterion.all() == met]
        ax.plot(chosen.index, chosen, "o", color=look["color"], markersize=4.5, linestyle="", zorder=3, **fill)


def histogram(ax: plt.Axes, panel: dict, experiment: Experiment, table: pd.DataFrame, histograms: pd.DataFrame) -> None:
    """How often the largest output of a training example falls into each bin, one outline for each network (Fig. 20)."""
    colours = _colours(experiment)
    for row in table.itertuples():
        bins = histograms[histograms.network == row.network]
        if not np.isfinite(row.rho) or not np.isfinite(bins.high).all():
            ax.text(0.5, 0.5, "the network diverged", transform=ax.transAxes, ha="center")
            continue
        factor = 1.0 if panel["x"].startswith("norm_") else row.rho
        edges = np.append(bins.low, bins.high.iloc[-1]) * factor
        colour = colours(pd.Series([row.value]))[0] if len(table) > 1 else style.BLUE
        ax.stairs(
            bins.examples, edges, fill=len(table) == 1, color=colour, label=f"{row.axis.replace('_', ' ')} {row.value:g}"
        )
        if len(table) == 1:
            mean, spread = getattr(row, f"{panel['x']}_mean"), getattr(row, f"{panel['x']}_std")
            text = f"mean {mean:.4g}\nstandard deviation {spread:.4g}\n" + rf"$\rho$ = {row.rho:.4g}"
            ax.text(0.98, 0.97, text, transform=ax.transAxes, ha="right", va="top", fontsize=9)
    _finish(ax, panel, experiment, table, None)
    ax.set_ylim(0, ax.get_ylim()[1] * 1.25)  # room for the numbers
    ax.set_ylabel("training examples")


def colour_scale(experiment: Experiment) -> Normalize:
    """From swept value to colour; logarithmic where the values spread widely, and then 0 has a colour of its own."""
    values = np.array([n.value for n in experiment.networks])
    low, high = values.min(), values.max()
    positive = values[values > 0]
    if len(positive) and high > 20 * positive.min():
        return LogNorm(positive.min(), high)
    return Normalize(low, high if high > low else low + 1)


def is_off_scale(values: pd.Series, scale: Normalize) -> np.ndarray:
    """Which values have no place on the colour scale."""
    return (values <= 0).to_numpy() if isinstance(scale, LogNorm) else np.zeros(len(values), dtype=bool)


def _colours(experiment: Experiment) -> Colours:
    scale, colours = colour_scale(experiment), plt.get_cmap(style.VALUES).with_extremes(bad=style.ZERO)
    return lambda values: colours(scale(np.ma.masked_where(is_off_scale(values, scale), values)))


# ------------------------------------------------------------------------------------------------------- axes and lines


def _finish(ax: plt.Axes, panel: dict, experiment: Experiment, table: pd.DataFrame, fit: pd.Series | None) -> None:
    if "title" in panel:
        ax.set_title(panel["title"], loc="left")
    for axis in panel.get("log", ""):
        getattr(ax, f"set_{axis}scale")("log")
    ax.set_xlabel(_label(panel, "x", experiment))
    if "y" in panel:
        ax.set_ylabel(_label(panel, "y", experiment))
    _lines(ax, panel, table, fit)
    percent = panel["x"] == "value" and experiment.networks[0].axis == "corruption" and "x" not in panel.get("log", "")
    for axis, name in ((ax.xaxis, "x"), (ax.yaxis, "y")):
        if name in panel.get("log", ""):
            _log_ticks(axis)
        else:
            axis.set_major_locator(MaxNLocator(5 if name == "x" and percent else 4 if name == "x" else 6))
    if percent:
        ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


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
    kinds = panel.get("lines", [])
    has_line = fit is not None and np.isfinite(fit.slope)
    curves = _curves(panel, table, fit if has_line else None, x)
    if "paper" in panel:
        stated = panel["paper"]["intercept"] + panel["paper"]["slope"] * x
        curves["the paper's line, on its data"] = (stated, {"color": style.ORANGE, "linestyle": "--"})
    for label, (y, look) in curves.items():
        ax.plot(x, y, label=label, zorder=2, **look)
    ax.set_xlim(limits)
    if "psi_inverse" not in kinds:
        ax.set_ylim(y_limits)
    for draw_line, (low, high), value, label in _levels(ax, panel, table):
        if low <= value <= high:
            draw_line(value, label=label, color=style.GREY, linestyle=(0, (1, 2)), zorder=1)
    if has_line and "ols" in kinds:  # above the panel, where no point can be
        text = f"slope {fit.slope:.3f}, $R^2$ = {style.r_squared(fit.r2)}, n = {fit.n:.0f}"
        ax.set_title("\n".join(filter(None, [panel.get("title"), text])), loc="left")


def _levels(ax: plt.Axes, panel: dict, table: pd.DataFrame) -> list[tuple[Callable, tuple[float, float], float, str]]:
    """The horizontal and vertical lines asked for: how to draw each, within which limits, where, and its label."""
    levels = []
    if "chance" in panel.get("lines", []):
        errors = any("error" in column for column in np.atleast_1d(panel["y"]))
        level = (table.chance_error if errors else table.chance_loss).iloc[0]
        levels.append((ax.axhline, ax.get_ylim(), level, "chance" if errors else r"$\ln C$"))
    if "threshold" in panel.get("lines", []):
        against = "train_size" if panel["x"] == "num_parameters" else "num_parameters"
        levels.append((ax.axvline, ax.get_xlim(), table[against].iloc[0], "as many parameters as examples"))
    return levels


def _curves(panel: dict, table: pd.DataFrame, fit: pd.Series | None, x: np.ndarray) -> dict[str, tuple[np.ndarray, dict]]:
    curves = {}
    for kind in panel.get("lines", []):
        if kind == "ols" and fit is not None:
            curves["least squares"] = (fit.intercept + fit.slope * x, {"color": style.GREEN})
        elif kind == "unit_slope" and fit is not None:
            curves["slope 1"] = (x + fit.unit_slope_intercept, {"color": style.BLACK, "linestyle": "-."})
        elif kind == "diagonal":
            curves["diagonal"] = (x, {"color": style.BLUE, "linestyle": ":"})
        elif kind == "psi_inverse":
            curves["shape of Eq. 12"] = (_psi_inverse(x - table[panel["x"]].min()), {"color": style.BLUE})
        elif kind == "bound":
            steepest = (table[panel["y"]] / table[panel["x"]]).max()
            curves["lowest line from 0 above all"] = (steepest * x, {"color": style.BLACK, "linestyle": "--"})
    return curves


def _psi_inverse(u: np.ndarray) -> np.ndarray:
    """psi^-1(u) = sqrt(u (2 - u)) up to u = 1 and 1 beyond (Eq. 12 for the exponential loss); nothing below 0."""
    inside = np.clip(u, 0, 1)
    return np.where(u < 0, np.nan, np.sqrt(inside * (2 - inside)))


def _label(panel: dict, axis: str, experiment: Experiment) -> str:
    columns = np.atleast_1d(panel[axis])
    column = columns[0]
    if len(columns) > 1:
        label = next(word for word in ("error", "loss") if word in column)
        label = f"normalized {label}" if all(c.startswith("norm_") for c in columns) else label
    elif column == "value":
        label = style.axis_label(experiment.networks[0].axis)
    elif column == "rho" and panel.get("norm", experiment.norms[0]) == "output":
        label = r"norm of one output $\|f(x_0)\|$"
    else:
        label = style.label(column)
    return f"{label} (log scale)" if axis in panel.get("log", "") else label
