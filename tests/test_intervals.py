"""Intervals of statistics of few clusters: how often they hold the truth, and what they do not depend on."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from puzzles.analysis import intervals
from puzzles.analysis.intervals import interval

SEEDS = 2  # networks of one pretraining


def linear(clusters: int, draw: np.random.Generator) -> pd.DataFrame:
    """A line of slope 1 whose noise is that of the pretraining and of the network, half each."""
    shared = np.repeat(draw.standard_normal((clusters, 2)), SEEDS, axis=0)
    own = draw.standard_normal((clusters * SEEDS, 2))
    x, noise = ((shared + own) / np.sqrt(2)).T
    return table(x, x + noise, clusters, SEEDS)


def ranked(clusters: int, draw: np.random.Generator) -> pd.DataFrame:
    """Networks of their own, two normal numbers of correlation 0.8 each."""
    x, y = draw.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], clusters).T
    return table(x, y, clusters, 1)


def table(x: np.ndarray, y: np.ndarray, clusters: int, seeds: int) -> pd.DataFrame:
    about = {
        "network": [f"n{k}" for k in range(len(x))],
        "pretrained_from": np.repeat([f"p{k}" for k in range(clusters)], seeds),
    }
    return pd.DataFrame({"x": x, "y": y, **about})


TAU = 2 / np.pi * np.arcsin(0.8)
CASES = {"slope": (intervals.slope, linear, 1.0), "tau": (intervals.kendall, ranked, TAU)}


def percentile(statistic: Callable[..., float], rows: pd.DataFrame, draw: np.random.Generator) -> tuple[float, float]:
    """What ``interval`` was before: whole clusters drawn with replacement, at least three of them."""
    parts = [part[["x", "y"]].to_numpy() for _, part in rows.groupby("pretrained_from")]
    drawn = []
    while len(drawn) < 100:
        k = draw.integers(0, len(parts), len(parts))
        drawn += [statistic(*np.concatenate([parts[i] for i in k]).T)] if len(set(k)) > 2 else []
    return tuple(np.nanquantile(drawn, [0.025, 0.975]))


@pytest.mark.parametrize("clusters", [5, 8, 11])
@pytest.mark.parametrize("name", CASES)
def test_intervals_of_few_clusters_hold_the_truth(name: str, clusters: int) -> None:
    statistic, world, truth = CASES[name]
    draw = np.random.default_rng(clusters)
    ends = np.array([interval(statistic, world(clusters, draw), "x", "y") for _ in range(300)])
    covered = np.mean((ends[:, 1] <= truth) & (truth <= ends[:, 2]))
    assert covered >= 0.9, covered


@pytest.mark.parametrize("name", CASES)
def test_percentiles_of_a_bootstrap_held_it_less_often(name: str) -> None:
    statistic, world, truth = CASES[name]
    draw = np.random.default_rng(0)
    rows = [world(5, draw) for _ in range(100)]
    new = np.array([interval(statistic, r, "x", "y")[1:] for r in rows])
    old = np.array([percentile(statistic, r, draw) for r in rows])
    now, before = (np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1])) for ends in (new, old))
    assert before < 0.9 <= now, (before, now)


@pytest.mark.parametrize("statistic", [intervals.slope, intervals.kendall, intervals.spearman, intervals.r_squared])
def test_the_order_of_the_rows_changes_no_bit(statistic: Callable[..., float]) -> None:
    rows = linear(6, np.random.default_rng(0))
    mixed = rows.sample(frac=1, random_state=1)
    assert interval(statistic, rows, "x", "y") == interval(statistic, mixed, "x", "y")


def test_the_jackknife_of_a_mean_is_students_t() -> None:
    rows = ranked(9, np.random.default_rng(0))
    value, low, high = interval(intervals.mean, rows, "x")
    expected = stats.ttest_1samp(rows.x, 0).confidence_interval(0.95)
    assert (value, low, high) == pytest.approx((rows.x.mean(), expected.low, expected.high))


@pytest.mark.parametrize(("statistic", "fewest"), [(intervals.slope, 3), (intervals.r_squared, 4), (intervals.kendall, 5)])
def test_too_few_clusters_have_no_interval(statistic: Callable[..., float], fewest: int) -> None:
    draw = np.random.default_rng(3)
    for clusters in (fewest - 1, fewest):
        value, low, high = interval(statistic, linear(clusters, draw), "x", "y")
        assert np.isfinite(value)
        assert np.isfinite([low, high]).all() == (clusters == fewest)


def test_points_in_perfect_order_are_not_certain() -> None:
    for clusters in (5, 8, 11):
        x = np.arange(clusters, dtype=float)
        value, low, high = interval(intervals.kendall, table(x, x, clusters, 1), "x", "y")
        assert (value, high) == pytest.approx((1, 1))
        assert 0 < low < 0.96


def test_a_median_has_the_interval_of_order_statistics() -> None:
    values = np.array([3.0, 1, 4, 1.5, 9, 2, 6])
    rows = table(values, values, 7, 1)
    assert intervals.median(rows, "x") == (3.0, 1.0, 9.0)
    assert np.isnan(intervals.median(rows[:5], "x")[1:]).all()


def test_a_partial_correlation_is_empty_where_the_third_orders_everything() -> None:
    draw = np.random.default_rng(0)
    x, y = draw.standard_normal((2, 12))
    assert np.isnan(intervals.partial_kendall(x, y, x))
    given = draw.standard_normal(12)
    xy, xz, yz = (stats.kendalltau(*pair).statistic for pair in ((x, y), (x, given), (y, given)))
    expected = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
    assert intervals.partial_kendall(x, y, given) == pytest.approx(expected)


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=3, max_size=30))
def test_taus_are_scipys_with_ties_too(points: list[tuple[int, int]]) -> None:
    x, y = np.array(points, dtype=float).T
    assert intervals.kendall(x, y) == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12, nan_ok=True)
