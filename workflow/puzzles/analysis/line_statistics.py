"""Statistics of the lines of test on training loss."""

import numpy as np

from puzzles.analysis import intervals
from puzzles.analysis.columns import WITHOUT
from puzzles.analysis.evidence import INTERVAL, RANGE, Evidence, Found, estimate, fitted_line
from puzzles.analysis.registry import statistic

NO_LINE = "fewer networks than a line needs"
VIEWS = {
    "norms": "norm",
    "snapshots": "snapshot",
    "experiments": "experiment",
}  # what two lines of the same networks differ in


@statistic
def fit(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """A column of the fitted lines, with its interval where there is one."""
    column, norms = test["column"], evidence.config.experiments[experiments[0]].norms
    line = fitted_line(evidence, experiments[0], test.get("norm", norms[0]), test.get("networks", "all"))
    if line is None or not np.isfinite(line[column]):
        return Found(np.nan, because=NO_LINE)
    if f"{column}_clustered_low" not in line:
        return Found(float(line[column]))
    return Found(float(line[column]), line[f"{column}_clustered_low"], line[f"{column}_clustered_high"], INTERVAL)


@statistic
def r_squared_gain(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """How much larger the R2 of test on training loss is after normalization."""
    columns = ("norm_train_loss", "norm_test_loss", "train_loss", "test_loss")
    return estimate(evidence, intervals.r_squared_gain, evidence.rows(test, experiments), *columns)


@statistic
def slope_change(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """By how much slopes of the same networks differ under two ``norms``, in two ``snapshots``, or in two ``experiments``.

    Only networks that are in both lines count, and leaving one out leaves it out of both.
    """
    key = next(k for k in VIEWS if isinstance(test.get(k), list) and len(test[k]) == 2)
    tables = []
    for view in test[key]:
        names = [view] if key == "experiments" else experiments
        rows = evidence.rows({k: v for k, v in test.items() if k not in VIEWS} | {VIEWS[key]: view}, names)
        tables.append(rows[["network", "pretrained_from", "norm_train_loss", "norm_test_loss"]])
    both = tables[0].merge(tables[1].drop(columns="pretrained_from"), on="network", suffixes=("_1", "_2"))
    columns = [f"norm_{split}_loss_{k}" for k in (1, 2) for split in ("train", "test")]
    return estimate(evidence, intervals.slope_difference, both, *columns)


@statistic
def slopes_apart(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """The slope of one experiment minus that of another (natural labels), its interval from theirs (Zou and Donner 2008)."""
    lines = [fitted_line(evidence, e, evidence.config.experiments[e].norms[0], WITHOUT) for e in experiments]
    if any(line is None or not np.isfinite(line.slope) for line in lines):
        return Found(np.nan, because=NO_LINE)
    (a, low, high), (b, low_b, high_b) = (
        (line.slope, line.slope_clustered_low, line.slope_clustered_high) for line in lines if line is not None
    )
    ends = a - b - np.hypot(a - low, high_b - b), a - b + np.hypot(high - a, b - low_b)
    return Found(float(a - b), float(ends[0]), float(ends[1]), INTERVAL, f"slopes {a:.3f} and {b:.3f}")


@statistic
def image_r_squared(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """R2 when outputs are divided by the norm of another image's: the smallest over images, and the range."""
    table = evidence.fits[(evidence.fits.experiment == experiments[0]) & evidence.fits.networks.str.startswith("image_")]
    values = table.r2.dropna()
    if values.empty:
        return Found(np.nan, because=NO_LINE)
    because = f"the median over {len(values)} images is {values.median():.3g}"
    return Found(float(values.min()), float(values.min()), float(values.max()), RANGE, because)


@statistic
def random_labels_distance(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """How far random-label networks are from the line without them, in units of its spread of normalized test losses."""
    line = fitted_line(evidence, experiments[0], evidence.config.experiments[experiments[0]].norms[0], WITHOUT)
    table = evidence.rows(test, experiments)
    natural, random = table[~table.random_labels], table[table.random_labels]
    if line is None or not np.isfinite(line.slope) or random.empty:
        return Found(np.nan, because="no line, or no random-label network met its criterion")
    residual = random.norm_test_loss - (line.intercept + line.slope * random.norm_train_loss)
    because = f"{line.random_labels_residual:+.3g} RMSE above the line"
    return Found(float(residual.abs().max() / np.ptp(natural.norm_test_loss)), because=because)
