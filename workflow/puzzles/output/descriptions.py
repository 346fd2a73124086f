"""What a figure shows, in words and numbers, for readers who cannot see it: the text behind its picture in the report."""

import numpy as np
import pandas as pd

from puzzles.analysis.columns import FAMILIES, WITHOUT
from puzzles.analysis.predictors import OWN, pool
from puzzles.config.configuration import POOLED, Config
from puzzles.config.experiments import Experiment
from puzzles.output import style
from puzzles.output.axes import LOSSES
from puzzles.output.evidence_panels import MONITORED_LOOKS
from puzzles.output.plots import FigureTables, panel_fits, points


def describe(config: Config, figure: str, tables: FigureTables) -> str:
    """A sentence for each panel of a figure, computed from the tables that it is drawn from."""
    found = []
    for k, panel in enumerate(config.figures[figure]["panels"]):
        if panel.get("kind") == POOLED:
            text = _pooled(tables.of("ranks", *panel["experiments"]))
        else:
            text = _panel(panel, config.experiments[panel["experiment"]], tables)
        found.append(f"{panel.get('title') or f'Panel {k + 1}'}: {text}.")
    return " ".join(found)


def _panel(panel: dict, experiment: Experiment, tables: FigureTables) -> str:
    kind, table = panel.get("kind", "scatter"), points(panel, experiment, tables.measurements)
    if kind == "families":
        return _families(table, experiment, tables.of("fits", experiment.name))
    if kind == "rescaling":
        return _rescaling(tables.of("rescaling", experiment.name))
    if kind == "predictors":
        return _predictors(tables.of("ranks", experiment.name))
    if kind == "monitoring":
        return _monitoring(tables.of("monitoring", experiment.name))
    if table.empty:
        return "no network"
    if kind == "histogram":
        return _histogram(panel, table)
    if kind == "series":
        return _series(panel, experiment, table)
    return _scatter(panel, experiment, table, panel_fits(panel, experiment, tables.fits))


def _scatter(panel: dict, experiment: Experiment, table: pd.DataFrame, fit: pd.Series | None) -> str:
    missed = int((~table.met_criterion).sum())
    text = f"{_count(len(table), 'network')}" + (f", {missed} of them missed their criterion" if missed else "")
    for axis in "yx":
        shown = f"{style.words(panel[axis], experiment)} {_range(table[panel[axis]], panel[axis])}"
        text += f"{'; ' if axis == 'y' else ' against '}{shown}"
    if fit is not None and np.isfinite(fit.slope) and "ols" in panel.get("lines", ()):
        slope = "" if "log" in panel else f"slope {fit.slope:.3g}, "  # as the panel says
        text += f"; least squares: {slope}R² {style.r_squared_text(fit.r2)}"
    return text


def _series(panel: dict, experiment: Experiment, table: pd.DataFrame) -> str:
    beside = table.random_labels & (not table.random_labels.all())
    said = []
    for column in np.atleast_1d(panel["y"]):
        means = table[~beside].groupby(panel["x"])[column].mean()
        ends = means.iloc[[0, -1]] if len(means) > 1 else means
        digits = 7 if column in LOSSES else 4
        text = ", ".join(f"{mean:.{digits}g} at {at:g}" for at, mean in ends.items())
        text = f"{style.words(column, experiment)} {text}"
        said.append(text + (f" (random labels {_range(table[beside][column], column)})" if beside.any() else ""))
    return f"against {style.words(panel['x'], experiment)}, means: {'; '.join(said)}"


def _histogram(panel: dict, table: pd.DataFrame) -> str:
    mean, spread = (table[f"{panel['x']}_{s}"].iloc[0] for s in ("mean", "std"))
    return f"of {_count(len(table), 'network')}, the first with mean {mean:.4g} and standard deviation {spread:.4g}"


def _families(table: pd.DataFrame, experiment: Experiment, fits: pd.DataFrame) -> str:
    natural = table[~table.random_labels & table.met_criterion]
    text = f"median ratio r of test to training depth {natural.margin_ratio.median():.3g}, R² of the line"
    first = fits[(fits.snapshot == experiment.select[0].name) & (fits.norm == experiment.norms[0])]
    lines = first.groupby("networks").r2.first()
    said = {WITHOUT: "with each network's own ρ"} | {family: family.replace("_", " ") for family in FAMILIES}
    return f"{text} {', '.join(f'{w} {style.r_squared_text(lines.get(n, np.nan))}' for n, w in said.items())}"


def _rescaling(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "not measured in this run"
    steps = rows.assign(name=rows.rescaling.astype(str).str.replace("rho", "ρ")).iloc[[0, -1]]
    said = [f"at R = {r['name']} R² {style.r_squared_text(r['r2'])} and τ {r['tau']:.2f}" for r in steps.to_dict("records")]
    return "; ".join(said)


def _predictors(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "not measured in this run"
    first = rows[(rows.networks == WITHOUT) & (rows.norm == rows.norm.iloc[0])].dropna(subset="tau").sort_values("tau")
    if first.empty:
        return "too few networks"
    said = [f"{style.predictor_label(r['predictor'])} {r['tau']:.2f}" for r in first.iloc[[-1, 0]].to_dict("records")]
    text = f"Kendall's τ with the test error is largest for {said[0]}, smallest for {said[1]}"
    loss = first[first.predictor == "norm_train_loss"].tau
    return text + (f"; normalized training loss {loss.iloc[0]:.2f}" if len(loss) else "")


def _pooled(rows: pd.DataFrame) -> str:
    pooled = pool(rows) if len(rows) else rows
    if pooled.empty:
        return "not measured in this run"
    own = pooled[pooled.norm == OWN].sort_values("mean_tau")
    said = [
        f"{style.predictor_label(r['predictor'])} {r['mean_tau']:.2f} (worst {r['worst_tau']:.2f})"
        for r in own.iloc[[-1, 0]].to_dict("records")
    ]
    over = _count(int(own.experiments.max()), "experiment")
    return f"mean Kendall's τ over {over} is largest for {said[0]}, smallest for {said[1]}"


def _monitoring(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "not measured in this run"
    medians = rows.groupby("monitored").regret.median()
    said = [f"{style.words(column)} {medians[column]:.2g}" for column in MONITORED_LOOKS if column in medians]
    last = rows.drop_duplicates("network")
    said.append(f"last epoch {(last.error_last - last.error_best).median():.2g}")
    return f"median test error lost by stopping at the smallest {', '.join(said)}, {_count(len(last), 'network')}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _range(values: pd.Series, column: str) -> str:
    digits = 7 if column in LOSSES else 4  # normalized losses can differ in the sixth digit only
    low, high = f"{values.min():.{digits}g}", f"{values.max():.{digits}g}"
    return low if low == high else f"{low} to {high}"
