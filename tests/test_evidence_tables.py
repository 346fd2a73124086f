"""What the line is made of, what predicts, when to stop: the tables beyond the paper, on numbers that are known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import SMALL, small_spec

from puzzles.analysis import intervals
from puzzles.analysis.experiment_analyses import read_correct
from puzzles.analysis.families import other_divisors
from puzzles.analysis.monitoring import monitor_experiment
from puzzles.analysis.pivots import pivot_experiment
from puzzles.analysis.predictors import pool, within_tau
from puzzles.analysis.rescaling import rescale_experiment
from puzzles.analysis.tables import correct_bits
from puzzles.data.dataset import Dataset
from puzzles.data.preparation import Preparation
from puzzles.networks.architectures import build, initialize
from puzzles.networks.complexity import distance, fisher_rao_norm, path_norm, sum_of_squares
from puzzles.networks.measure import logits

LN10 = float(np.log(10))


def networks(depth: np.ndarray, ratio: np.ndarray, **columns: object) -> pd.DataFrame:
    """Measurements with these training depths and margin ratios."""
    count = len(depth)
    table = pd.DataFrame({"norm_train_loss": LN10 - depth, "norm_test_loss": LN10 - depth * ratio})
    table = table.assign(experiment="e", snapshot="last", norm="l2", num_classes=10, group="natural", random_labels=False)
    table = table.assign(met_criterion=True, network=[f"n{k}" for k in range(count)], pretrained_from="", seed=0)
    table = table.assign(value=np.arange(count, dtype=float), axis="init_std", train_size=1000, test_size=1000, rho=10.0)
    table = table.assign(train_error=0.0, test_error=0.3, train_loss=0.01, test_loss=1.0, num_parameters=5000)
    for name in ("max_output_mean", "max_output_std"):
        table[name], table[f"norm_{name}"] = 10.0, 1.0
    for name in ("min", "p01", "p10"):
        table[f"margin_train_{name}"] = 0.1
    return table.assign(**columns)


def test_networks_of_one_ratio_are_on_a_line_through_the_pivot_and_their_ratio_is_found() -> None:
    table = networks(np.logspace(-4, -1, 8), np.full(8, 0.8))
    row = pivot_experiment(table, ("natural",)).iloc[0]
    assert row.ratio == pytest.approx(0.8)
    assert row.ratio_sd == pytest.approx(0, abs=1e-9)
    assert row.depth_spread == pytest.approx(1000, rel=1e-6)
    bent = networks(np.linspace(0.01, 0.1, 8), 0.8 + 0.01 / np.linspace(0.01, 0.1, 8) / 10)  # an intercept of its own
    assert pivot_experiment(bent, ("natural",)).iloc[0].pivot_p < 1e-6


def test_the_growth_of_the_ratio_is_extrapolated_from_smaller_sets_only() -> None:
    sizes = np.repeat([100, 1000, 10_000, 50_000], 3)
    ratio = 1 - 2 * sizes**-0.3
    ratio[-3:] = 0.1  # what the largest sets have is not looked at
    table = networks(np.full(12, 0.05), ratio, train_size=sizes, axis="train_size", value=sizes.astype(float))
    row = pivot_experiment(table, ("natural",)).iloc[0]
    assert row.growth_exponent == pytest.approx(0.3)
    assert row.ratio_at_target == pytest.approx(1 - 2 * 50_000**-0.3)
    assert row.ratio_seen_at_target == pytest.approx(0.1)
    assert row.growth_exponent_low <= row.growth_exponent <= row.growth_exponent_high


def test_every_network_gets_the_rho_of_another_and_each_rho_is_used_once() -> None:
    rho = {f"n{k}": float(k + 1) for k in range(7)}
    divisors = other_divisors("e", rho)
    assert sorted(divisors["permuted_rho"].values()) == sorted(rho.values())
    assert all(divisors["permuted_rho"][name] != own for name, own in rho.items())
    (common,) = set(divisors["common_constant"].values())
    assert common == pytest.approx(np.prod(range(1, 8)) ** (1 / 7))


def test_pairs_within_a_value_are_counted_alone() -> None:
    x, y, value = (pd.Series(v, dtype=float) for v in ([1, 2, 3, 4], [1, 2, 9, 8], [0, 0, 1, 1]))
    assert within_tau(x, y, value) == (0.0, 2)  # one pair rises, one falls; the four pairs across values do not count


def test_a_predictor_is_worth_what_it_does_where_it_does_worst() -> None:
    ranks = pd.DataFrame({"experiment": ["a", "b"], "tau": [0.9, -0.6], "within_tau": np.nan, "partial_tau": np.nan})
    ranks = ranks.assign(networks="without_random_labels", norm="l2", predictor="rho")
    row = pool(ranks).iloc[0]
    assert row.norm == "own"
    assert (row.worst_tau, row.worst_experiment, row.best_tau) == (-0.6, "b", 0.9)


def test_the_r_sweep_judges_each_factor_by_itself() -> None:
    rows = []
    for rescaling, slope in (("1", 0.8), ("100", 0.0)):
        for k in range(6):
            loss = 1 + 0.1 * k
            rows.append({"rescaling": rescaling, "network": f"n{k}", "train_loss": loss, "test_loss": 2 + slope * loss})
    table = pd.DataFrame(rows).assign(experiment="e", met_criterion=True, random_labels=False, pretrained_from="")
    table["test_error"] = table.train_loss / 10
    found = rescale_experiment(table).set_index("rescaling")
    assert found.loc["1", "slope"] == pytest.approx(0.8)
    assert found.loc["1", "r2"] == pytest.approx(1)
    assert np.isnan(found.loc["100", "r2"])  # nothing varies
    assert found.loc["1", "tau"] == pytest.approx(1)


def test_stopping_at_the_minimum_costs_what_the_history_says() -> None:
    history = pd.DataFrame({"epoch": range(6), "test_error": [0.9, 0.5, 0.3, 0.2, 0.25, 0.4]})
    history = history.assign(train_loss=[2, 1, 0.5, 0.2, 0.1, 0.05], norm_train_loss=[2.3, 2.2, 2.1, 2.15, 2.2, 2.25])
    history = history.assign(rho=1.0, norm_test_loss=2.2, test_loss=1.0, experiment="e", network="n", group="g", value=1.0)
    found = monitor_experiment(history, ("g",)).set_index("monitored")
    assert found.loc["norm_train_loss", "stopped_epoch"] == 2
    assert found.loc["norm_train_loss", "regret"] == pytest.approx(0.1)
    assert found.loc["train_loss", "stopped_epoch"] == 5
    assert found.loc["train_loss", "regret"] == pytest.approx(0.2)


def test_which_examples_are_right_survives_the_file(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    correct = {f"n{k}": draw.random(361) < 0.8 for k in range(3)}
    np.savez(tmp_path / "c.npz", **correct_bits(correct))
    again = read_correct(tmp_path / "c.npz")
    assert list(again) == list(correct)
    assert all(np.array_equal(again[name], correct[name]) for name in correct)


def test_few_test_examples_widen_an_interval_and_many_hardly_do() -> None:
    draw = np.random.default_rng(0)
    rates = np.linspace(0.70, 0.76, 8)

    def width(count: int) -> float:
        common = draw.random(count)  # the same examples are hard for all
        correct = {f"n{k}": 0.5 * (common + draw.random(count)) < rate for k, rate in enumerate(rates)}
        table = pd.DataFrame({"network": list(correct), "pretrained_from": "", "x": -rates})
        table["test_error"] = [1 - right.mean() for right in correct.values()]
        _, low, high = intervals.interval(intervals.slope, table, "x", "test_error")
        _, lower, higher = intervals.interval(intervals.slope, table, "x", "test_error", correct=correct)
        return (higher - lower) / (high - low)

    assert width(200) > 1.2
    assert 1 <= width(20_000) < width(200)


def test_the_gap_of_the_error_is_as_uncertain_as_the_error() -> None:
    draw = np.random.default_rng(0)
    correct = {f"n{k}": draw.random(200) < rate for k, rate in enumerate(np.linspace(0.6, 0.9, 6))}
    table = pd.DataFrame({"network": list(correct), "pretrained_from": "", "x": np.arange(6.0)})
    table["test_error"] = [1 - right.mean() for right in correct.values()]
    table["error_gap"] = table.test_error - 0.05
    for statistic, columns in ((intervals.slope, ("x",)), (intervals.kendall, ("x",)), (intervals.mean, ())):
        _, *ends = intervals.interval(statistic, table, *columns, "test_error", correct=correct)
        _, *of_gap = intervals.interval(statistic, table, *columns, "error_gap", correct=correct)
        shift = 0.05 if statistic is intervals.mean else 0
        assert np.subtract(ends, shift) == pytest.approx(of_gap, rel=1e-9)


def test_measures_of_a_network_by_hand(digits: Dataset) -> None:
    network = build(SMALL, (1, 8, 8), 10)
    initialize(network, small_spec())
    assert sum_of_squares(network) == pytest.approx(
        sum(float(p.detach().double().square().sum()) for p in network.parameters())
    )
    other = build(SMALL, (1, 8, 8), 10)
    initialize(other, small_spec())
    assert distance(network, other) == 0
    with torch.no_grad():
        other.conv1.weight[0, 0, 0, 0] += 3
    assert distance(network, other) == pytest.approx(3)
    small = torch.nn.Sequential(torch.nn.Linear(2, 2, bias=False), torch.nn.ReLU(), torch.nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        small[0].weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 0.0]]))
        small[2].weight.copy_(torch.tensor([[2.0, -1.0]]))
    flat = torch.nn.Sequential(torch.nn.Flatten(), *small)
    assert path_norm(flat, (2, 1, 1)) == pytest.approx((4 * (1 + 4) + 1 * 9) ** 0.5)


def test_the_fisher_rao_norm_is_the_derivative_along_the_weights(digits: Dataset) -> None:
    """<grad of an example's loss, weights> is depth times <dl/df, f> for a network without biases (Liang et al. 2019)."""
    examples = Preparation(digits).examples(small_spec(train_size=20))
    network = build(SMALL.__class__("conv", (5, 5), 3, bias="none"), (1, 8, 8), 10)
    initialize(network, small_spec())
    network.double()
    inner = []
    for x, y in zip(examples.train_x.double().permute(0, 3, 1, 2), examples.train_y, strict=True):
        loss = torch.nn.functional.cross_entropy(network(x[None]), y[None])
        gradient = torch.autograd.grad(loss, list(network.parameters()))
        inner.append(sum(float((g * p.detach()).sum()) for g, p in zip(gradient, network.parameters(), strict=True)))
    outputs = logits(network, examples.train_x.double())
    assert fisher_rao_norm(network, outputs, examples.train_y) == pytest.approx(float(np.sqrt(np.mean(np.square(inner)))))
