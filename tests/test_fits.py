"""Fitted lines, on points whose line is known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from puzzles.csvs import read_csv, write_csv
from puzzles.fits import fit_experiment, fit_line


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


@pytest.mark.parametrize("x", [[1.0, 2.0], [2.3, 2.3, 2.3, 2.3], [2.3, 2.3 + 1e-9, 2.3 - 1e-9, 2.3], [1.0, 2.0, np.nan]])
def test_no_line_where_there_is_none(x: list[float]) -> None:
    assert fit_line(np.array(x), np.array(x)) == {"n": len(x)}


def table() -> pd.DataFrame:
    x, y = points(n=12)
    rows = pd.DataFrame({"norm_train_loss": x, "norm_test_loss": y, "train_loss": x / 9, "test_loss": y / 7})
    rows["experiment"], rows["snapshot"], rows["norm"], rows["group"] = "e", "last", "l2", "natural"
    rows["met_criterion"], rows["random_labels"] = True, False
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
