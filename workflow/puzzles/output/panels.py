"""The kinds of panel that a figure is made of: points, series over a swept value, histograms."""

from collections.abc import Callable
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm, Normalize

from puzzles.config.experiments import Experiment
from puzzles.output import style
from puzzles.output.axes import finish, from_chance

MISSED = "missed the criterion"
Colours = Callable[[pd.Series], np.ndarray]  # of the swept values


def scatter(
    ax: plt.Axes, panel: dict, experiment: Experiment, table: pd.DataFrame, fit: pd.Series | None, scale: Normalize
) -> None:
    """A point for each network, coloured by the swept value, and the lines asked for."""
    table, fit, origin = from_chance(panel, table, fit)
    colours = _colours(scale)
    groups = sorted({n.group for n in experiment.networks if n.spec.labels == "natural"}, key=lambda g: (g != "natural", g))
    markers = dict(zip(groups, cycle("os^Dv"), strict=False))
    for group in table.group.unique():
        rows = table[(table.group == group) & table.met_criterion]
        look: style.Look = {"marker": markers.get(group, "*"), "s": 34, "edgecolor": "white"}
        if rows.random_labels.any():
            look = {"marker": "*", "s": 150, "edgecolor": style.RED}
        _points(ax, panel, rows, colours, style.group_label(group, experiment), look)
    missed = table[~table.met_criterion]
    outside = _outside(panel, table[table.met_criterion], missed)
    for random, marker, label in ((False, "X", MISSED), (True, "*", f"random labels, {MISSED}")):
        look = {"marker": marker, "s": 110 if random else 44, "edgecolor": style.GREY}
        _points(ax, panel, missed[~outside & (missed.random_labels == random)], colours, label, look)
    is_are = f"{outside.sum()} that missed the criterion {'is' if outside.sum() == 1 else 'are'} outside"
    finish(ax, panel, experiment, table, fit, origin, is_are if outside.any() else "")


def _outside(panel: dict, met: pd.DataFrame, missed: pd.DataFrame) -> pd.Series:
    """Which networks that missed their criterion are so far from those that met it that they would squeeze them together."""
    outside = pd.Series(False, index=missed.index)
    for axis in "xy":
        inner, outer = (np.log(t[panel[axis]]) if axis in panel.get("log", "") else t[panel[axis]] for t in (met, missed))
        if inner.nunique() > 1:
            reach = 3 * (inner.max() - inner.min())
            outside |= ~outer.between(inner.min() - reach, inner.max() + reach) & outer.notna()
    return outside


def _points(ax: plt.Axes, panel: dict, rows: pd.DataFrame, colours: Colours, label: str, look: style.Look) -> None:
    rows = rows[rows[[panel["x"], panel["y"]]].notna().all(axis=1)]
    if len(rows):
        ax.scatter(rows[panel["x"]], rows[panel["y"]], c=colours(rows.value), label=label, linewidth=0.7, zorder=3, **look)


def series(ax: plt.Axes, panel: dict, experiment: Experiment, table: pd.DataFrame) -> None:
    """Several columns against one: the mean over seeds, with a bar from the smallest to the largest.

    A hollow marker stands for networks of which some missed the criterion. Beside natural labels, random ones are stars.
    """
    if isinstance(panel["y"], str):
        panel = {**panel, "y": [panel["y"]]}
    table, _, origin = from_chance(panel, table, None)
    beside = table.random_labels if not table.random_labels.all() else table.random_labels & False
    for column in panel["y"]:
        look = style.series_look(column)
        _one_series(ax, panel["x"], table[~beside], column, look)
        for k, (_, row) in enumerate(table[beside].iterrows()):
            label: style.Look = {"label": "random labels"} if k == 0 and column == panel["y"][0] else {}
            hollow: style.Look = {} if row.met_criterion else {"markerfacecolor": "white"}
            ax.plot(row[panel["x"]], row[column], "*", color=look["color"], markersize=11, linestyle="", **label, **hollow)
    if not table.met_criterion.all():
        ax.plot([], [], "o", color=style.GREY, markerfacecolor="white", markersize=4.5, label=f"hollow: {MISSED}")
    finish(ax, panel, experiment, table, None, origin)
    if panel["y"] == ["active_units"]:  # a share is read off against 0 and 1
        ax.set_ylim(-0.03, 1.03)


def _one_series(ax: plt.Axes, x: str, table: pd.DataFrame, column: str, look: style.Look) -> None:
    by_x = table.groupby(x)
    middle, low, high = (getattr(by_x[column], f)() for f in ("mean", "min", "max"))
    bars = np.clip([middle - low, high - middle], 0, None)
    order = 1.5 if column.endswith("gap") else 2  # a gap is wider and behind: it can coincide with the test error
    ax.errorbar(middle.index, middle, bars, label=style.label(column), capsize=2, elinewidth=0.8, zorder=order, **look)
    for met in (True, False):
        fill: style.Look = {} if met else {"markerfacecolor": "white"}
        chosen = middle[by_x.met_criterion.all() == met]
        ax.plot(chosen.index, chosen, "o", color=look["color"], markersize=4.5, linestyle="", zorder=3, **fill)


def histogram(ax: plt.Axes, panel: dict, experiment: Experiment, table: pd.DataFrame, histograms: pd.DataFrame) -> None:
    """How often the largest output of a training example falls into each bin, one outline for each network (Fig. 20)."""
    colours = _colours(colour_scale(table.value))
    for row in table.to_dict("records"):
        bins = histograms[histograms.network == row["network"]]
        if not np.isfinite(row["rho"]) or not np.isfinite(bins.high).all():
            ax.text(0.5, 0.5, "the network diverged", transform=ax.transAxes, ha="center")
            continue
        factor = 1.0 if panel["x"].startswith("norm_") else row["rho"]
        edges = np.append(bins.low, bins.high.iloc[-1]) * factor
        colour = colours(pd.Series([row["value"]]))[0] if len(table) > 1 else style.BLUE
        label = f"{row['axis'].replace('_', ' ')} {row['value']:g}"
        ax.stairs(bins.examples, edges, fill=len(table) == 1, color=colour, label=label)
        if len(table) == 1:
            mean, spread = row[f"{panel['x']}_mean"], row[f"{panel['x']}_std"]
            text = f"mean {mean:.4g}\nstandard deviation {spread:.4g}\n" + rf"$\rho$ = {row['rho']:.4g}"
            ax.text(0.98, 0.97, text, transform=ax.transAxes, ha="right", va="top", fontsize=9)
    finish(ax, panel, experiment, table, None)
    ax.set_ylim(0, ax.get_ylim()[1] * 1.25)  # room for the numbers
    ax.set_ylabel("training examples")


def colour_scale(swept: pd.Series) -> Normalize:
    """The colour scale of the swept values shown: logarithmic if they spread widely; 0 then has a colour of its own."""
    values = swept.to_numpy(dtype=float)
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    positive = values[values > 0]
    if len(positive) and high > 20 * positive.min():
        return LogNorm(positive.min(), high)
    return Normalize(low, high if high > low else low + 1)


def is_off_scale(values: pd.Series, scale: Normalize) -> np.ndarray:
    """Which values a logarithmic colour scale cannot show."""
    return (values <= 0).to_numpy() if isinstance(scale, LogNorm) else np.zeros(len(values), dtype=bool)


def _colours(scale: Normalize) -> Colours:
    colours = plt.get_cmap(style.VALUES).with_extremes(bad=style.ZERO)
    return lambda values: colours(scale(np.ma.masked_where(is_off_scale(values, scale), values)))
