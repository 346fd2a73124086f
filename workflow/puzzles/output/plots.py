"""Draw any figure of the configuration from the tables."""

import math
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.cm import ScalarMappable

from puzzles.analysis.columns import ALL, UNNORMALIZED, WITHOUT, derived
from puzzles.base.files import atomic
from puzzles.config.configuration import POOLED, TABLE_PANELS
from puzzles.config.experiments import Experiment
from puzzles.output import evidence_panels, style
from puzzles.output.panels import colour_scale, histogram, is_off_scale, scatter, series

FORMATS = (".png", ".pdf", ".svg")
UNDATED: dict[str, dict] = {".png": {}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}  # equal figures, equal files


@dataclass(frozen=True)
class FigureTables:
    """The tables of the experiments that a figure shows."""

    measurements: pd.DataFrame
    fits: pd.DataFrame
    histograms: pd.DataFrame
    families: pd.DataFrame
    ranks: pd.DataFrame
    rescaling: pd.DataFrame
    monitoring: pd.DataFrame

    def of(self, name: str, *experiments: str) -> pd.DataFrame:
        """The rows of some experiments of a table; none where the table is empty."""
        table: pd.DataFrame = getattr(self, name)
        return table[table.experiment.isin(experiments)] if len(table) else table


def draw(figure: dict, experiments: dict[str, Experiment], tables: FigureTables, *files: str | Path) -> None:
    """Draw a figure: its entry in the configuration, with the tables of the experiments it names.

    Args:
        files: where, each in the format of its suffix (``FORMATS``).
    """
    panels = figure["panels"]
    columns = min(len(panels), figure.get("columns", 2))
    with style.figure(math.ceil(len(panels) / columns), columns) as (drawn, axes):
        handles: dict[str, plt.Artist] = {}
        coloured: dict[str, list[plt.Axes]] = {}
        swept = _swept(panels, experiments, tables)
        for panel, ax in zip(panels, axes, strict=False):
            if panel.get("kind") == POOLED:
                evidence_panels.pooled_predictors(ax, panel, tables.of("ranks", *panel["experiments"]))
            else:
                experiment = experiments[panel["experiment"]]
                draw_panel(ax, panel, experiment, tables, swept.get(experiment.name))
            handles |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
            if panel.get("kind", "scatter") == "scatter":
                coloured.setdefault(experiment.name, []).append(ax)
        for ax in axes[len(panels) :]:
            ax.remove()
        for name, its_axes in coloured.items():
            _colour_bar(drawn, its_axes, experiments[name], swept[name])
        drawn.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3 if columns > 1 else 2)
        for path in files:
            with atomic(path) as temporary:
                drawn.savefig(temporary, metadata={"Title": figure["title"], **UNDATED[temporary.suffix]})


def _swept(panels: list[dict], experiments: dict[str, Experiment], tables: FigureTables) -> dict[str, pd.Series]:
    """For each experiment with scatter panels, the swept values that they show: its colour scale spans them, no others."""
    values: dict[str, list[pd.Series]] = {}
    for panel in panels:
        if panel.get("kind", "scatter") == "scatter":
            shown = points(panel, experiments[panel["experiment"]], tables.measurements)
            values.setdefault(panel["experiment"], []).append(shown.value)
    return {name: pd.concat(found) for name, found in values.items()}


def draw_panel(
    ax: plt.Axes, panel: dict, experiment: Experiment, tables: FigureTables, swept: pd.Series | None = None
) -> None:
    """One panel of any kind that is about one experiment.

    Args:
        swept: the values that the colours of a scatter panel tell apart; those of the panel if not given.
    """
    table, kind = points(panel, experiment, tables.measurements), panel.get("kind", "scatter")
    if kind in TABLE_PANELS:
        rows = tables.of(kind if kind != "predictors" else "ranks", experiment.name)
        if rows.empty:
            evidence_panels.nothing_measured(ax, panel)
        elif kind == "families":
            evidence_panels.families(ax, panel, table, rows)
        else:
            getattr(evidence_panels, kind)(ax, panel, rows)
    elif kind == "histogram":
        histogram(ax, panel, experiment, table, tables.of("histograms", experiment.name))
    elif kind == "series":
        series(ax, panel, experiment, table)
    else:
        scale = colour_scale(table.value if swept is None else swept)
        scatter(ax, panel, experiment, table, panel_fits(panel, experiment, tables.fits), scale)


def points(panel: dict, experiment: Experiment, measurements: pd.DataFrame) -> pd.DataFrame:
    """The rows of the measurements that a panel shows: one for each network of the groups fitted, or of those named."""
    snapshot = panel.get("snapshot", experiment.select[0].name)
    norm = panel.get("norm", experiment.norms[0])
    table = measurements[measurements.experiment == experiment.name]
    table = table[(table.snapshot == snapshot) & (table.norm == norm)]
    return derived(table[table.group.isin(panel.get("groups", experiment.fit_groups))])


def panel_fits(panel: dict, experiment: Experiment, fits: pd.DataFrame) -> pd.Series | None:
    """The fitted line of a panel of test against training loss, over the groups that it shows."""
    normalized = panel["x"].startswith("norm_")
    norm = panel.get("norm", experiment.norms[0]) if normalized else UNNORMALIZED
    with_random = any(n.spec.labels == "random" and n.group in panel.get("groups", [n.group]) for n in experiment.networks)
    match = (
        (fits.experiment == experiment.name)
        & (fits.snapshot == panel.get("snapshot", experiment.select[0].name))
        & (fits.norm == norm)
        & (fits.networks == (ALL if with_random else WITHOUT))
    )
    found = fits[match]
    return found.iloc[0] if len(found) else None


def _colour_bar(drawn: plt.Figure, axes: list[plt.Axes], experiment: Experiment, swept: pd.Series) -> None:
    bar = drawn.colorbar(ScalarMappable(colour_scale(swept), style.VALUES), ax=axes, pad=0.02, aspect=30)
    note = " (grey: 0)" if is_off_scale(swept, bar.norm).any() else ""
    bar.set_label(style.axis_label(experiment.networks[0].axis) + note)
