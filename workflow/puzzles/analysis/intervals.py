"""Intervals over networks that are not independent: those that share their pretraining count as one, a cluster."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from puzzles.base.randomness import generator

CONFIDENCE = 0.95
DRAWS = 200  # of the test examples
NOISE = 1e-15  # losses are sums of numbers near 1: what differs by less differs by rounding
ERRORS = ("test_error", "error_gap")  # columns that move with the share of test examples that a network gets right
FLOAT32_NOISE = 1e-7  # relative: what a forward pass in float32 leaves uncertain

Statistic = Callable[..., float]


@dataclass(frozen=True)
class Kind:
    """What is known of a statistic: its range, how many clusters an interval needs, and an interval that none is inside of.

    ``least``: the ends for as many independent networks as there are clusters, by theory. The jackknife of points in perfect
    order would have no width at all.
    """

    lowest: float = -np.inf
    highest: float = np.inf
    fewest: int = 3
    least: Callable[[float, int], tuple[float, float]] = lambda value, clusters: (value, value)


def clusters(table: pd.DataFrame) -> np.ndarray:
    """What counts as one, for each row of the measurements: the pretrained network, or the network itself."""
    shared = table.pretrained_from.fillna("")
    return np.where(shared == "", table.network, shared).astype(str)


def interval(
    statistic: Statistic, table: pd.DataFrame, *columns: str, correct: Mapping[str, np.ndarray] | None = None
) -> tuple[float, float, float]:
    """A statistic of columns of the measurements with its 95 % interval: value, low, high.

    The interval is that of the cluster jackknife (each cluster left out once) with the quantiles of Student's t for one
    degree of freedom less than there are clusters, as recommended for few clusters (MacKinnon, Nielsen and Webb 2023, who
    call it CV3). That of a correlation reaches at least as far as that of as many independent pairs as there are clusters,
    on Fisher's z (standard errors of Fieller, Hartley and Pearson 1957 for Kendall's tau, of Bonett and Wright 2000 for
    Spearman's), where an observed 1 counts as half a pair short of it. tests/test_intervals.py simulates how often nominal
    95 % intervals hold the true slope or tau with 5, 8 and 11 clusters, and how much less often those of a percentile
    bootstrap do; where tau is almost 1 (.87, 8 clusters) it is 81 %.

    The order of the rows changes no bit of it.

    Args:
        correct: for each network, which test examples it gets right [N]. With it, the chance of drawing test examples counts
            as well, where one of the columns is the test error or its gap to the training error: its variance, found by
            drawing the same examples for all networks again and again, is added to that of the jackknife. Without it, only
            the chance of drawing networks. The chance of test examples in test losses never counts.

    Returns:
        The value, nan where it is not defined; the ends, nan with fewer than three clusters (four for R2; five for rank
        correlations: no order of four is significant at 5 %), or where leaving one out leaves nothing defined.
    """
    groups = clusters(table)
    arrays = [table[column].to_numpy(dtype=float) for column in columns]
    order = np.lexsort((*reversed(arrays), groups))
    groups, arrays = groups[order], [array[order] for array in arrays]
    value, names = statistic(*arrays), np.unique(groups)
    kind = KINDS.get(statistic, PLAIN)
    if len(names) < kind.fewest or not np.isfinite(value):
        return value, np.nan, np.nan
    without = np.array([statistic(*(array[groups != name] for array in arrays)) for name in names])
    drawn = np.zeros(1)
    of_errors = [k for k, column in enumerate(columns) if column in ERRORS]
    if correct is not None and of_errors and set(table.network) <= set(correct):
        right = np.stack([correct[name] for name in table.network.iloc[order]])
        drawn = _with_other_test_examples(statistic, arrays, of_errors, right)
    return value, *_jackknife(value, without, kind, float(np.nanvar(drawn)))


def _with_other_test_examples(
    statistic: Statistic, arrays: list[np.ndarray], of_errors: list[int], right: np.ndarray
) -> np.ndarray:
    """The statistic for as many test examples drawn with replacement, the same ones for all networks: [DRAWS].

    Args:
        of_errors: the places of the test errors, or of their gaps, in ``arrays``.
        right: which examples each network gets right, [P, N].
    """
    count = right.shape[1]
    weights = generator(0, "test_examples").multinomial(count, np.full(count, 1 / count), size=DRAWS)
    shifts = right.mean(axis=1) - (weights @ right.T.astype(np.float64)) / count  # of the errors, [DRAWS, P]
    return np.array(
        [statistic(*(np.round(a + shift, 12) if k in of_errors else a for k, a in enumerate(arrays))) for shift in shifts]
    )  # rounded, for networks that get as many right must stay equal


def _jackknife(value: float, without: np.ndarray, kind: Kind, variance: float = 0.0) -> tuple[float, float]:
    """The ends of the interval, from the statistic with each cluster left out and the variance of what else is chance."""
    count = len(without)
    if not np.isfinite(without).all():
        return np.nan, np.nan
    error = np.sqrt((count - 1) / count * np.sum((without - value) ** 2) + variance)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1) * error)
    low, high = kind.least(value, count)
    return max(kind.lowest, min(low, value - half)), min(kind.highest, max(high, value + half))


def median(table: pd.DataFrame, column: str) -> tuple[float, float, float]:
    """The median over clusters (of their means) with its exact, distribution-free 95 % interval: value, low, high.

    The ends are order statistics, which a jackknife of a median is not fit for; nan with fewer than six clusters.
    """
    means = table[column].groupby(clusters(table)).mean().to_numpy()
    if not len(means):
        return np.nan, np.nan, np.nan
    found = stats.quantile_test(means, q=float(np.median(means)), p=0.5).confidence_interval(CONFIDENCE)
    return float(np.median(means)), float(found.low), float(found.high)


def is_constant(x: np.ndarray) -> bool:
    """Whether values differ by no more than rounding: 1e-15, or 1e-7 of the largest (a forward pass in float32)."""
    return bool(np.ptp(x) <= max(NOISE, FLOAT32_NOISE * np.abs(x).max()))


def slope(x: np.ndarray, y: np.ndarray) -> float:
    """The slope of the least-squares line."""
    if len(x) < 2 or is_constant(x):
        return np.nan
    scale = np.ptp(x)
    dx = (x - x.mean()) / scale
    return float(dx @ (y - y.mean()) / (dx @ dx) / scale)


def r_squared(x: np.ndarray, y: np.ndarray) -> float:
    """R2 of the least-squares line."""
    if len(x) < 2 or is_constant(x) or np.ptp(y) <= NOISE:
        return np.nan
    dx, dy = ((v - v.mean()) / np.ptp(v) for v in (x, y))
    return float(min(1.0, (dx @ dy) ** 2 / ((dx @ dx) * (dy @ dy))))


def r_squared_gain(x: np.ndarray, y: np.ndarray, x0: np.ndarray, y0: np.ndarray) -> float:
    """By how much the R2 of y on x is larger than that of y0 on x0."""
    return r_squared(x, y) - r_squared(x0, y0)


def slope_difference(x: np.ndarray, y: np.ndarray, x0: np.ndarray, y0: np.ndarray) -> float:
    """The slope of y on x minus that of y0 on x0, of the same networks."""
    return slope(x, y) - slope(x0, y0)


def unit_slope_intercept(x: np.ndarray, y: np.ndarray) -> float:
    """The intercept of the line of slope 1."""
    return float(np.mean(y - x))


def mean(values: np.ndarray) -> float:
    """The mean."""
    return float(np.mean(values)) if len(values) else np.nan


def deviation(values: np.ndarray) -> float:
    """The standard deviation (n - 1)."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else np.nan


def kendall(x: np.ndarray, y: np.ndarray) -> float:
    """Kendall's tau-b, from all pairs: for the few networks there are, ten times as fast as scipy's, which sorts."""
    if len(x) < 3 or not (np.isfinite(x).all() and np.isfinite(y).all()):
        return np.nan
    dx, dy = (np.sign(np.subtract.outer(v, v)) for v in (np.asarray(x, dtype=float), np.asarray(y, dtype=float)))
    pairs = np.sqrt(float(np.count_nonzero(dx)) * float(np.count_nonzero(dy)))
    return float(np.vdot(dx, dy) / pairs) if pairs else np.nan


def partial_kendall(x: np.ndarray, y: np.ndarray, given: np.ndarray) -> float:
    """Kendall's partial tau of x and y given a third; nan where that orders either completely."""
    xy, xz, yz = kendall(x, y), kendall(x, given), kendall(y, given)
    rest = (1 - xz**2) * (1 - yz**2)
    return float(np.clip((xy - xz * yz) / np.sqrt(rest), -1, 1)) if rest > NOISE else np.nan


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rank correlation."""
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return np.nan
    return float(stats.spearmanr(x, y).statistic)


def _fisher(value: float, nearest: float, error: float) -> tuple[float, float]:
    """The ends on Fisher's z of a correlation, taken to be no nearer to 1 than ``nearest``."""
    z, half = np.arctanh(np.clip(value, -nearest, nearest)), stats.norm.ppf((1 + CONFIDENCE) / 2) * error
    low, high = np.tanh([z - half, z + half])
    return min(float(low), value), max(float(high), value)


def _least_kendall(tau: float, n: int) -> tuple[float, float]:
    return _fisher(tau, 1 - 2 / (n * (n - 1)), np.sqrt(0.437 / (n - 4)))


def _least_spearman(r: float, n: int) -> tuple[float, float]:
    return _fisher(r, 1 - 6 / (n * (n**2 - 1)), np.sqrt((1 + r**2 / 2) / (n - 3)))


def _least_r_squared(value: float, n: int) -> tuple[float, float]:
    low, high = _fisher(np.sqrt(value), 1 - NOISE, 1 / np.sqrt(n - 3))
    return min(max(low, 0.0) ** 2, value), max(high**2, value)


PLAIN = Kind()
KINDS: dict[Statistic, Kind] = {
    kendall: Kind(-1, 1, 5, _least_kendall),
    partial_kendall: Kind(-1, 1, 5, _least_kendall),
    spearman: Kind(-1, 1, 5, _least_spearman),
    r_squared: Kind(0, 1, 4, _least_r_squared),
    r_squared_gain: Kind(-1, 1, 4),
    deviation: Kind(lowest=0),
}
