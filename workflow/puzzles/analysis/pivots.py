"""What the paper's line is made of: each network's ratio of test to training depth, and a line through the pivot.

Depth is how far a normalized loss is below ln C, the loss of outputs that are all 0. For small outputs it is the mean margin
over the mean of all outputs, so networks with one ratio r of test to training depth lie on a line through (ln C, ln C) with
slope r, whatever their test errors.
"""

import numpy as np
import pandas as pd
from scipy import stats

from puzzles.analysis import intervals
from puzzles.analysis.columns import derived
from puzzles.base.dictionary import columns_of

TARGET = 50_000  # examples, to which the growth of r is extrapolated
COLUMNS = columns_of("pivots")


def pivot_experiment(measurements: pd.DataFrame, fit_groups: tuple[str, ...]) -> pd.DataFrame:
    """For each snapshot: the ratios of the natural-label networks, and of those of each swept value. First norm.

    Networks that met their criterion; where the training size is swept, all that have fitted (training error below 5 %).
    ``ratio``, ``_sd``, ``_min``, ``_max``: of margin_ratio over networks. ``random_labels_ratio``: the mean of those with
    random labels. ``depth_spread``: the largest over the smallest training depth, which is what makes R2 large. ``pivot_f``
    and ``pivot_p``: of the free line against the one through the pivot. ``growth_*``, ``ratio_at_target``: see ``growth``;
    ``ratio_seen_at_target``: of networks that were trained on so many, to hold against it. A row without ``value`` is about
    all values together.
    """
    first = derived(measurements[measurements.norm == measurements.norm.iloc[0]])
    if first.norm.iloc[0] == "output":
        return pd.DataFrame(columns=COLUMNS)
    swept = first.axis.iloc[0] == "train_size"
    kept = first[first.group.isin(fit_groups) & ((first.train_error < 0.05) if swept else first.met_criterion)]
    rows = []
    for snapshot, table in kept.groupby("snapshot", sort=False):
        about = {"experiment": table.experiment.iloc[0], "snapshot": snapshot}
        natural, random = table[~table.random_labels], table[table.random_labels]
        if natural.empty:
            continue
        row = about | _summary(natural) | {"random_labels_ratio": random.margin_ratio.mean()} | _free_or_through(natural)
        rows.append(row | (growth(natural) | _seen_at_target(first, fit_groups, str(snapshot)) if swept else {}))
        rows += [about | {"value": value} | _summary(part) for value, part in natural.groupby("value")]
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def _seen_at_target(table: pd.DataFrame, fit_groups: tuple[str, ...], snapshot: str) -> dict[str, float]:
    """The mean ratio of the networks that were trained on 50,000 examples, whatever their training error."""
    natural = table[table.group.isin(fit_groups) & ~table.random_labels & (table.snapshot == snapshot)]
    return {"ratio_seen_at_target": natural[natural.train_size == TARGET].margin_ratio.mean()}


def _summary(table: pd.DataFrame) -> dict[str, float]:
    r = table.margin_ratio
    row = {"n": len(table), "ratio": r.mean(), "ratio_sd": r.std(ddof=1), "ratio_min": r.min(), "ratio_max": r.max()}
    low, high = table.depth_train.min(), table.depth_train.max()
    return row | {"depth_spread": high / low if low > 0 else np.nan}


def _free_or_through(table: pd.DataFrame) -> dict[str, float]:
    """The F-test of an intercept: is the free line better than the one through the pivot by more than chance?"""
    x, y = table.depth_train.to_numpy(), table.depth_test.to_numpy()
    if len(x) < 4 or np.ptp(x) == 0:
        return {}
    through = np.sum((y - x * (x @ y) / (x @ x)) ** 2)
    dx = x - x.mean()
    free = np.sum((y - y.mean() - dx * (dx @ y) / (dx @ dx)) ** 2)
    f = (through - free) / (free / (len(x) - 2)) if free > 0 else np.nan
    return {"pivot_f": f, "pivot_p": float(stats.f.sf(f, 1, len(x) - 2))}


def growth(table: pd.DataFrame) -> dict[str, float]:
    """How 1 - r shrinks with the number of examples: 1 - r = a N^-b fitted by least squares of logarithms.

    ``growth_exponent`` is b, ``ratio_at_target`` the r that the fit gives for 50,000 examples, each with a 95 % interval.
    Networks of 50,000 examples are left out, so that where there are some the extrapolation can be held against them.
    """
    table = table[(table.margin_ratio < 1) & (table.train_size < TARGET)]
    if table.train_size.nunique() < 3:
        return {}
    table = table.assign(log_size=np.log(table.train_size), log_gap=np.log(1 - table.margin_ratio))

    def at_target(x: np.ndarray, y: np.ndarray) -> float:
        return 1 - float(np.exp(y.mean() + intervals.slope(x, y) * (np.log(TARGET) - x.mean())))

    found: dict[str, float] = {}
    for name, statistic in (("growth_exponent", lambda x, y: -intervals.slope(x, y)), ("ratio_at_target", at_target)):
        estimate = intervals.interval(statistic, table, "log_size", "log_gap")
        found |= dict(zip((name, f"{name}_low", f"{name}_high"), estimate, strict=True))
    return found
