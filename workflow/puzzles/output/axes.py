"""The axes of a panel: scales, ticks, labels, and the lines drawn into it."""

from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axis import Axis
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from puzzles.config.experiments import Experiment
from puzzles.output import style

Level = tuple[Callable[..., Line2D], tuple[float, float], float, str]  # function that draws it, axis limits, position, label
Curve = tuple[np.ndarray, style.Look]  # y values and look


def finish(ax: plt.Axes, panel: dict, experiment: Experiment, table: pd.DataFrame, fit: pd.Series | None) -> None:
    """Title, scales, labels, lines and ticks of a panel whose points are drawn."""
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
    line = fit if fit is not None and np.isfinite(fit.slope) else None
    curves = _curves(panel, table, line, x)
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
    if line is not None and "ols" in kinds:  # above the panel, where no point can be
        text = f"slope {line.slope:.3f}, $R^2$ = {style.r_squared_text(line.r2)}, n = {line.n:.0f}"
        ax.set_title("\n".join(filter(None, [panel.get("title"), text])), loc="left")


def _levels(ax: plt.Axes, panel: dict, table: pd.DataFrame) -> list[Level]:
    """The horizontal and vertical lines asked for."""
    levels: list[Level] = []
    if "chance" in panel.get("lines", []):
        errors = any("error" in column for column in np.atleast_1d(panel["y"]))
        level = (table.chance_error if errors else table.chance_loss).iloc[0]
        levels.append((ax.axhline, ax.get_ylim(), level, "chance" if errors else r"$\ln C$"))
    if "threshold" in panel.get("lines", []):
        against = "train_size" if panel["x"] == "num_parameters" else "num_parameters"
        levels.append((ax.axvline, ax.get_xlim(), table[against].iloc[0], "as many parameters as examples"))
    return levels


def _curves(panel: dict, table: pd.DataFrame, fit: pd.Series | None, x: np.ndarray) -> dict[str, Curve]:
    curves: dict[str, Curve] = {}
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
