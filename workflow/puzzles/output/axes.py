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
Curve = tuple[np.ndarray, np.ndarray, style.Look]  # x, y and look
NEAR = 1e-3
LOSSES = ("norm_train_loss", "norm_test_loss")


def finish(
    ax: plt.Axes,
    panel: dict,
    experiment: Experiment,
    table: pd.DataFrame,
    fit: pd.Series | None,
    origin: float = 0.0,
    note: str = "",
) -> None:
    """Title, scales, labels, lines and ticks of a panel whose points are drawn.

    Args:
        origin: what normalized losses of the table are counted from (``from_chance``).
        note: a line below the title.
    """
    for axis in panel.get("log", ""):
        getattr(ax, f"set_{axis}scale")("log")
    ax.set_xlabel(_label(panel, "x", experiment, origin))
    if "y" in panel:
        ax.set_ylabel(_label(panel, "y", experiment, origin))
    fitted = _lines(ax, panel, table, fit, origin)
    title = "\n".join(filter(None, [panel.get("title"), fitted, note]))  # above the panel, where no point can be
    if title:
        ax.set_title(title, loc="left")
    percent = panel["x"] == "value" and experiment.networks[0].axis == "corruption" and "x" not in panel.get("log", "")
    for axis, name in ((ax.xaxis, "x"), (ax.yaxis, "y")):
        if name in panel.get("log", ""):
            _log_ticks(axis)
        else:
            axis.set_major_locator(MaxNLocator(5 if name == "x" and percent else 4 if name == "x" else 6))
            _small_ticks(axis)
    if percent:
        ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def from_chance(panel: dict, table: pd.DataFrame, fit: pd.Series | None) -> tuple[pd.DataFrame, pd.Series | None, float]:
    """Normalized losses that are all within ``NEAR`` of ln C less ln C, so that ticks can be told apart; the slope stays.

    Returns the table, the line, and what was taken away: ln C or 0.
    """
    columns = [c for c in np.atleast_1d([panel["x"], *np.atleast_1d(panel["y"])]) if c in LOSSES]
    on_log = any(set(np.atleast_1d(panel[axis])) & set(LOSSES) for axis in panel.get("log", ""))
    if not columns or table.empty or on_log:
        return table, fit, 0.0
    chance = float(table.chance_loss.iloc[0])
    if not (table[columns] - chance).abs().max().max() <= NEAR:
        return table, fit, 0.0
    if fit is not None:
        fit = fit.copy()
        fit["intercept"] += (fit.slope - 1) * chance
    return table.assign(**{column: table[column] - chance for column in columns}), fit, chance


def _small_ticks(axis: Axis) -> None:
    """Numbers below a thousandth in units of a power of ten, which the label names."""
    largest = np.abs(axis.get_view_interval()).max()
    if 0 < largest < NEAR:
        power = int(np.floor(np.log10(largest)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 10.0**power:.6g}".replace("-", "−")))
        axis.set_label_text(f"{axis.get_label_text()}, in $10^{{{power}}}$")


def _log_ticks(axis: Axis) -> None:
    """Round numbers within a decade, 1, 2, 5 within two, whole decades beyond."""
    low, high = axis.get_view_interval()
    if high / low < 10:
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    else:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 200 else (1,)))
    axis.set_minor_formatter(NullFormatter())
    if high / low < 200:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))


def _lines(ax: plt.Axes, panel: dict, table: pd.DataFrame, fit: pd.Series | None, origin: float) -> str:
    """Draw the lines asked for; returns what the title says about the fitted one."""
    kinds = panel.get("lines", [])
    ax.autoscale_view()
    if "bound" in kinds:  # a line from 0 is read off against 0
        ax.set_xlim(left=0)
        ax.set_ylim(bottom=0)
    limits, y_limits = ax.get_xlim(), ax.get_ylim()
    line = fit if fit is not None and np.isfinite(fit.slope) and "log" not in panel else None
    for label, (x, y, look) in _curves(panel, table, line, limits, origin).items():
        ax.plot(x, y, label=label, zorder=2, **look)
    ax.set_xlim(limits)
    ax.set_ylim(y_limits)
    if "psi_inverse" in kinds:  # all of it, from 0 where it starts
        ax.set_ylim(0, max(y_limits[1], 1.05 * float(_psi_inverse(limits[1] - table[[panel["x"]]].min().to_numpy())[0])))
    for draw_line, (low, high), value, label in _levels(ax, panel, table, origin):
        if low <= value <= high:
            draw_line(value, label=label, color=style.GREY, linestyle=(0, (1, 2)), zorder=1)
    if fit is None or not np.isfinite(fit.slope) or "ols" not in kinds:
        return ""
    # on logarithmic axes a line would be a curve
    slope = "" if line is None else f"slope {fit.slope:.3f}, " if abs(fit.slope) < 10 else f"slope {fit.slope:.3g}, "
    return f"{slope}$R^2$ = {style.r_squared_text(fit.r2)}, n = {fit.n:.0f}".replace("slope -", "slope −")


def _levels(ax: plt.Axes, panel: dict, table: pd.DataFrame, origin: float) -> list[Level]:
    """The horizontal and vertical lines asked for."""
    levels: list[Level] = []
    if "chance" in panel.get("lines", []):
        errors = any("error" in column for column in np.atleast_1d(panel["y"]))
        level = table.chance_error.iloc[0] if errors else table.chance_loss.iloc[0] - origin
        levels.append((ax.axhline, ax.get_ylim(), level, "chance" if errors else r"$\ln C$"))
    if "threshold" in panel.get("lines", []):
        against = "train_size" if panel["x"] == "num_parameters" else "num_parameters"
        levels.append((ax.axvline, ax.get_xlim(), table[against].iloc[0], "as many parameters as examples"))
    return levels


def _curves(
    panel: dict, table: pd.DataFrame, fit: pd.Series | None, limits: tuple[float, float], origin: float
) -> dict[str, Curve]:
    curves: dict[str, Curve] = {}
    x = np.linspace(*limits, 200)
    for kind in panel.get("lines", []):
        if kind == "ols" and fit is not None:
            curves["least squares"] = (x, fit.intercept + fit.slope * x, {"color": style.GREEN})
        elif kind == "unit_slope" and fit is not None:
            curves["slope 1"] = (x, x + fit.unit_slope_intercept, {"color": style.BLACK, "linestyle": "-."})
        elif kind == "diagonal":
            curves["diagonal"] = (x, x, {"color": style.BLUE, "linestyle": ":"})
        elif kind == "psi_inverse":
            above = np.linspace(0, 1, 200) ** 2 * (limits[1] - table[panel["x"]].min())  # denser where it is steep, from 0
            curves["shape of Eq. 12"] = (table[panel["x"]].min() + above, _psi_inverse(above), {"color": style.BLUE})
        elif kind == "bound":
            steepest = (table[panel["y"]] / table[panel["x"]]).max()
            curves["lowest line from 0 above all"] = (x, steepest * x, {"color": style.BLACK, "linestyle": "--"})
    if "paper" in panel:
        slope, intercept = panel["paper"]["slope"], panel["paper"]["intercept"] + (panel["paper"]["slope"] - 1) * origin
        look: style.Look = {"color": style.ORANGE, "linestyle": "--"}
        curves["the paper's line, on its data"] = (x, intercept + slope * x, look)
    return curves


def _psi_inverse(u: np.ndarray) -> np.ndarray:
    """psi^-1(u) = sqrt(u (2 - u)) up to u = 1 and 1 beyond (Eq. 12 for the exponential loss); nothing below 0."""
    inside = np.clip(u, 0, 1)
    return np.where(u < 0, np.nan, np.sqrt(inside * (2 - inside)))


def _label(panel: dict, axis: str, experiment: Experiment, origin: float) -> str:
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
    if origin and set(columns) <= set(LOSSES):
        label += r" − $\ln C$"
    return f"{label} (log scale)" if axis in panel.get("log", "") else label
