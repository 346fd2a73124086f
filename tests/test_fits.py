"""Fitted lines, on points whose line is known."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from puzzles.analysis import intervals
from puzzles.analysis.fits import fit_experiment, fit_line
from puzzles.analysis.predictors import rank_experiment
from puzzles.base.csvs import read_csv, write_csv


def test_tables_keep_every_bit(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    table = pd.DataFrame({"a": draw.standard_normal(20_000) * 10.0 ** draw.integers(-300, 300, 20_000), "text": "none"})
    table.loc[0, "a"] = np.nan
    write_csv(table, tmp_path / "a.csv")
    again = read_csv(tmp_path / "a.csv")
    assert np.array_equal(again.a, table.a, equal_nan=True)
    assert set(again.text) == {"none"}


def points(
    slope: float = 0.836, intercept: float = 0.377, noise: float = 5e-5, n: int = 61
) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    x = draw.uniform(2.29, 2.302, n)
    return x, intercept + slope * x + noise * draw.standard_normal(n)


def test_the_line_of_figure_10() -> None:
    x, y = points()
    line, scipys = fit_line(x, y), stats.linregress(x, y)
    assert line["slope"] == pytest.approx(scipys.slope, rel=1e-9)
    assert line["intercept"] == pytest.approx(scipys.intercept, rel=1e-7)
    assert line["r2"] == pytest.approx(scipys.rvalue**2, rel=1e-9)
    assert line["slope_low"] < 0.836 < line["slope_high"]
    assert line["rmse"] == pytest.approx(5e-5, rel=0.2)
    assert line["adjusted_r2"] == pytest.approx(1 - (1 - line["r2"]) * 60 / 59)


def test_the_slope_one_line_as_the_paper_draws_it() -> None:
    x, y = points()
    line = fit_line(x, y)
    residuals = (y - x) - (y - x).mean()
    assert line["unit_slope_intercept"] == pytest.approx((y - x).mean())
    assert line["unit_slope_rmse"] == pytest.approx(np.sqrt((residuals**2).mean()))
    assert line["unit_slope_r2"] == pytest.approx(1 - (residuals**2).sum() / ((y - y.mean()) ** 2).sum())


@pytest.mark.parametrize(
    "x", [[1.0, 2.0], [2.3, 2.3, 2.3, 2.3], [2.3, 2.3 + 1e-9, 2.3 - 1e-9, 2.3], [0, 5e-16, 0, 1e-16], [1.0, 2.0, np.nan]]
)
def test_no_line_where_there_is_none(x: list[float]) -> None:
    assert fit_line(np.array(x), np.array(x)) == {"n": len(x)}


def exactly(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """The least-squares line of these floating-point numbers, in fractions."""
    u, v = ([Fraction(float(value)) for value in values] for values in (x, y))
    n, mean_u, mean_v = len(u), sum(u) / len(u), sum(v) / len(v)
    uu, vv = sum((a - mean_u) ** 2 for a in u), sum((b - mean_v) ** 2 for b in v)
    uv = sum((a - mean_u) * (b - mean_v) for a, b in zip(u, v, strict=True))
    slope = uv / uu
    residual = sum((b - mean_v - slope * (a - mean_u)) ** 2 for a, b in zip(u, v, strict=True))
    line = {"slope": slope, "intercept": mean_v - slope * mean_u, "r2": 1 - residual / vv}
    return {name: float(value) for name, value in line.items()} | {"rmse": math.sqrt(residual / (n - 2))}


@settings(max_examples=60, deadline=None)
@given(
    centre=st.sampled_from([0.0, np.log(10), np.log(100), 1e3]),
    spread=st.sampled_from([1e-12, 1e-9, 1e-6, 1e-3, 1.0, 1e3]),
    height=st.sampled_from([1e-9, 1e-3, 1.0, 1e3]),
    noise=st.sampled_from([1e-3, 0.1, 1.0]),
    seed=st.integers(0, 10**6),
)
def test_lines_keep_their_digits(centre: float, spread: float, height: float, noise: float, seed: int) -> None:
    draw = np.random.default_rng(seed)
    u = draw.standard_normal(9)
    x, y = centre + spread * u, np.log(100) + height * (u + noise * draw.standard_normal(9))
    line = fit_line(x, y)
    if "slope" not in line:
        assert np.ptp(x) <= 1e-7 * np.abs(x).max()
        return
    for name, value in exactly(x, y).items():
        assert line[name] == pytest.approx(
            value, rel=1e-9, abs=1e-9 if name == "r2" else 1e-14 * abs(centre * line["slope"])
        )
    assert line["slope_low"] <= line["slope"] <= line["slope_high"]
    assert line["intercept_low"] <= line["intercept"] <= line["intercept_high"]
    assert intervals.slope(x, y) == pytest.approx(line["slope"], rel=1e-9)
    assert intervals.r_squared(x, y) == pytest.approx(line["r2"], abs=1e-9)


def test_losses_under_the_largest_weight_keep_theirs() -> None:
    """As published for that norm: normalized training losses of 1e-12 and less beside test losses of a thousand."""
    x = np.array([3e-13, 1e-12, 4e-14, 2e-12, 5e-13])
    y = np.array([988.0, 902.0, 1267.0, 332.0, 919.0])
    line, expected = fit_line(x, y), exactly(x, y)
    assert line["slope"] == pytest.approx(expected["slope"], rel=1e-9)
    assert line["r2"] == pytest.approx(expected["r2"], abs=1e-9)
    assert fit_line(1e-4 * x, y) == {"n": 5}  # rounding noise of losses


def test_the_order_of_networks_changes_no_bit() -> None:
    rows = table().assign(pretrained_from=[f"p{k % 5}" for k in range(12)])
    mixed = rows.sample(frac=1, random_state=1)
    one, other = (fit_experiment(t, nulls(), ("natural",)) for t in (rows, mixed))
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_networks_that_diverged_enter_no_fit() -> None:
    rows = table()
    rows.loc[3, ["train_loss", "norm_test_loss"]] = [np.nan, 5.0]
    for marked, expected in ((rows, 11), (rows.assign(diverged=rows.network == "n5"), 10)):
        fits = fit_experiment(marked, nulls(), ("natural",)).set_index(["norm", "networks"])
        assert fits.loc[("l2", "all"), "n"] == expected


def table() -> pd.DataFrame:
    x, y = points(n=12)
    rows = pd.DataFrame({"norm_train_loss": x, "norm_test_loss": y, "train_loss": x / 9, "test_loss": y / 7})
    rows["experiment"], rows["snapshot"], rows["norm"], rows["group"] = "e", "last", "l2", "natural"
    rows["met_criterion"], rows["random_labels"], rows["num_classes"] = True, False, 10
    rows["network"], rows["pretrained_from"] = [f"n{k}" for k in range(12)], ""
    return rows


def nulls() -> pd.DataFrame:
    x, y = points(1.0, 0.0, 0.0, 9)
    return pd.DataFrame({"family": ["untrained"] * 4 + ["one_rescaled"] * 5, "norm_train_loss": x, "norm_test_loss": y})


def test_networks_that_missed_their_criterion_enter_no_fit() -> None:
    rows = table()
    rows.loc[3, ["norm_test_loss", "met_criterion"]] = [5.0, False]
    rows.loc[4, ["norm_test_loss", "group"]] = [5.0, "histogram"]
    fits = fit_experiment(rows, nulls(), ("natural", "random_labels")).set_index(["norm", "networks"])
    assert fits.loc[("l2", "all"), "n"] == 10
    assert fits.loc[("l2", "all"), "slope"] == pytest.approx(0.836, abs=0.02)
    assert fits.loc[("l2", "one_rescaled"), "n"] == 5
    assert fits.loc[("l2", "untrained"), "slope"] == pytest.approx(1)


def test_the_random_label_network_is_judged_by_the_line_without_it() -> None:
    rows = table()
    random = rows.iloc[[0]].assign(random_labels=True, group="random_labels", norm_train_loss=2.301, norm_test_loss=2.35)
    fits = fit_experiment(pd.concat([rows, random], ignore_index=True), nulls(), ("natural", "random_labels"))
    fits = fits.set_index(["norm", "networks"])
    without = fits.loc[("l2", "without_random_labels")]
    expected = (2.35 - (without.intercept + without.slope * 2.301)) / without.rmse
    assert without.random_labels_residual == pytest.approx(expected)
    assert without.n == 12
    assert fits.loc[("l2", "all"), "n"] == 13
    assert fits.loc[("l2", "all"), "r2"] < without.r2


def test_the_line_through_the_pivot() -> None:
    chance = np.log(10)
    x = np.linspace(2.29, 2.30, 9)
    line = fit_line(x, chance + 0.836 * (x - chance), chance)
    assert line["pivot_slope"] == pytest.approx(0.836)
    assert line["pivot_r2"] == pytest.approx(1)
    assert line["pivot_miss"] == pytest.approx(0, abs=1e-12)
    shifted = fit_line(x, 0.01 + chance + 0.836 * (x - chance), chance)
    assert shifted["pivot_miss"] == pytest.approx(0.01)
    assert shifted["pivot_r2"] < 0.9


def test_lines_have_clustered_intervals() -> None:
    fits = fit_experiment(table(), nulls(), ("natural",)).set_index(["norm", "networks"])
    for norm in ("none", "l2"):
        line = fits.loc[(norm, "all")]
        assert line.slope_clustered_low < line.slope < line.slope_clustered_high
        assert line.r2_clustered_low <= line.r2 <= line.r2_clustered_high
        assert line.unit_slope_intercept_clustered_low < line.unit_slope_intercept < line.unit_slope_intercept_clustered_high
    assert np.isnan(fits.loc[("none", "all"), "pivot_slope"])  # unnormalized losses have no pivot


def test_networks_that_share_their_pretraining_are_drawn_together() -> None:
    rows = pd.concat([table()] * 4, ignore_index=True)  # four copies of each network say nothing new
    rows["network"] = [f"n{k}" for k in range(len(rows))]
    alone = intervals.interval(intervals.slope, rows, "norm_train_loss", "norm_test_loss")
    together = intervals.interval(
        intervals.slope, rows.assign(pretrained_from=[f"p{k % 12}" for k in range(48)]), "norm_train_loss", "norm_test_loss"
    )
    assert alone[0] == together[0]
    assert together[2] - together[1] > 1.5 * (alone[2] - alone[1])


def test_rank_correlations_are_scipys_and_leave_out_what_has_no_value() -> None:
    rows = table().assign(
        rho=1.0, value=0.1, train_error=0.0, test_error=np.linspace(0.1, 0.2, 12) ** 2, test_size=100, train_size=50
    )
    rows = rows.assign(num_parameters=10, margin_train_min=-1.0, margin_train_p01=1.0, margin_train_p10=rows.test_error)
    rows = rows.assign(max_output_mean=1.0, max_output_std=1.0, norm_max_output_mean=1.0, norm_max_output_std=1.0)
    ranks = rank_experiment(rows, ("natural",)).set_index(["networks", "norm", "predictor"]).xs("l2", level="norm")
    tau = ranks.loc[("all", "norm_train_loss")]
    assert tau.tau == pytest.approx(stats.kendalltau(rows.norm_train_loss, rows.test_error).statistic)
    assert tau.tau_low <= tau.tau <= tau.tau_high
    assert ranks.loc[("all", "inverse_margin_p10"), "tau"] == pytest.approx(-1)
    assert np.isnan(ranks.loc[("all", "inverse_margin_min"), "tau"])  # a margin below 0 has no inverse
