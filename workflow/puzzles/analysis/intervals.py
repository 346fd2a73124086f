"""Bootstrap intervals over networks that are not independent: those that share their pretraining are drawn together."""

import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

RESAMPLES = 500
CONFIDENCE = 0.95


def clusters(table: pd.DataFrame) -> np.ndarray:
    """The cluster of each row of the measurements, drawn as a whole: its pretrained network, or else the network itself."""
    shared = table.pretrained_from.fillna("")
    return np.where(shared == "", table.network, shared)


def bootstrap(statistic: Callable[[np.ndarray], float], groups: np.ndarray) -> tuple[float, float]:
    """The 95 % percentile interval of a statistic of rows, by drawing whole clusters with replacement.

    Draws of fewer than three different clusters are left out: every line fits two points.

    Args:
        statistic: of the indices of the rows drawn; nan where it is not defined.
        groups: the cluster of each row.

    Returns:
        Low and high; nan with fewer than three clusters.
    """
    members = [np.flatnonzero(groups == group) for group in pd.unique(groups)]
    if len(members) < 3:
        return np.nan, np.nan

    def of_drawn(k: np.ndarray) -> float:
        return statistic(np.concatenate([members[int(i)] for i in k])) if len(set(k)) > 2 else np.nan

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the draws that are nan: they are left out below
        drawn = stats.bootstrap(
            (np.arange(len(members)),),
            of_drawn,
            n_resamples=RESAMPLES,
            vectorized=False,
            method="percentile",
            rng=np.random.default_rng(0),
        ).bootstrap_distribution
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return np.nan, np.nan
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def interval(statistic: Callable[..., float], table: pd.DataFrame, *columns: str) -> tuple[float, float, float]:
    """A statistic of columns of the measurements with its interval: value, low, high."""
    arrays = [table[column].to_numpy(dtype=float) for column in columns]
    low, high = bootstrap(lambda rows: statistic(*(array[rows] for array in arrays)), clusters(table))
    return statistic(*arrays), low, high


def slope(x: np.ndarray, y: np.ndarray) -> float:
    """The slope of the least-squares line."""
    dx = x - x.mean()
    return float(dx @ (y - y.mean()) / (dx @ dx)) if np.ptp(x) > 0 else np.nan


def r_squared(x: np.ndarray, y: np.ndarray) -> float:
    """R2 of the least-squares line."""
    return float(np.corrcoef(x, y)[0, 1] ** 2) if np.ptp(x) > 0 and np.ptp(y) > 0 else np.nan


def kendall(x: np.ndarray, y: np.ndarray) -> float:
    """Kendall's tau-b."""
    return float(stats.kendalltau(x, y).statistic) if len(x) > 2 else np.nan


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rank correlation."""
    return float(stats.spearmanr(x, y).statistic) if len(x) > 2 else np.nan
