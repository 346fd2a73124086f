"""Every claim of the scorecard: measurements in which it holds, others in which it does not, and what cannot decide."""

import copy
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from claim_world import World, good_world
from conftest import ROOT

from puzzles.analysis import intervals
from puzzles.analysis.claim_statistics import STATISTICS
from puzzles.analysis.claims import (
    BUT_HERE,
    DOES_NOT_HOLD,
    HOLDS,
    NOT_REPRODUCED,
    NOT_RUN,
    OF_IDENTITIES,
    REPRODUCED,
    UNDECIDED,
    VERDICTS,
    count_verdicts,
    judge,
    load_claims,
    outcome,
    parts_of_why,
    scorecard,
)
from puzzles.analysis.evidence import INTERVAL, Evidence, Found
from puzzles.analysis.monitoring import monitor_experiment
from puzzles.config.configuration import Config, load_config
from puzzles.normalize import layers

CLAIMS = {claim["id"]: claim for claim in load_claims()}
LN10 = np.log(10)


@pytest.fixture(scope="module")
def world() -> World:
    import yaml

    return good_world(load_config(yaml.safe_load((ROOT / "config.yaml").read_text())))


LINES = {"fit", "slopes_apart", "image_r_squared", "random_labels_distance"}  # the statistics that read the fitted lines


def evidence(world: World, experiments: list[str]) -> Evidence:
    names = [n for n in experiments if n in world.config.experiments]
    fits = world.fits(names) if names else pd.DataFrame(columns=["experiment"])
    return Evidence(world.config, world.networks, fits, world.history)


def verdict(claim: dict, world: World) -> dict:
    lines = any(test["of"] in LINES for test in claim["tests"])
    return judge(claim, evidence(world, claim.get("experiments", []) if lines else []))


def put(experiment: str, random: bool | None = None, **columns: object) -> Callable[[World], None]:
    """Change columns of an experiment: to a value, or with a function of its rows."""

    def change(world: World) -> None:
        table = world.networks
        rows = table.experiment == experiment
        rows &= table.random_labels == random if random is not None else True
        for name, value in columns.items():
            table.loc[rows, name] = value(table[rows]) if callable(value) else value

    return change


def setting(path: str, value: object) -> Callable[[World], None]:
    """Change the configuration."""

    def change(world: World) -> None:
        raw = copy.deepcopy(world.config.raw)
        node = raw
        *parents, last = path.split(".")
        for key in parents:
            node = node[key]
        node[last] = value
        world.config = Config(raw, world.config.run, load_config(raw).experiments, world.config.figures)

    return change


def both(*changes: Callable[[World], None]) -> Callable[[World], None]:
    def change(world: World) -> None:
        for one in changes:
            one(world)

    return change


def shuffled(column: str) -> Callable[[pd.DataFrame], np.ndarray]:
    return lambda rows: np.random.default_rng(1).permutation(rows[column].to_numpy())


def mirrored(column: str) -> Callable[[pd.DataFrame], pd.Series]:
    """The best becomes the worst."""
    return lambda rows: rows[column].max() + rows[column].min() - rows[column]


def steeper(factor: float) -> Callable[[pd.DataFrame], pd.Series]:
    """Another slope through the pivot."""
    return lambda rows: np.log(rows.num_classes) - factor * (np.log(rows.num_classes) - rows.norm_train_loss)


def falling_rho(world: World) -> None:
    world.history["rho"] = 10.0 - world.history.epoch


def backwards(world: World) -> None:
    world.history["test_error"] = 1 - world.history.test_error


ONE_LESS = {"changed_predictions": 1}
NO_LINE = {"norm_test_loss": shuffled("norm_test_loss")}
ON_ITSELF = {"train_loss": lambda rows: rows.test_loss}
CORRUPTION, FIXED, GRAY = "corruption_3layer", "corruption_3layer_fixed_loss", "init_3layer_gray"


def as_it_is(world: World) -> None:
    """False in this world as it is, or made false elsewhere."""


FAILS: dict[str, Callable[[World], None]] = {
    "G1": put("width", **ONE_LESS),
    "G2": put(CORRUPTION, layers_difference=1e-3),
    "G3": put("init_bn", train_error=0.01),
    "G4": put("init_3layer", norm_test_loss=2.2),
    "G4b": put("init_resnet", norm_test_loss=2.3),
    "G5": put("init_bn_100", norm_train_loss=4.4),
    "G6": put(CORRUPTION, norm_test_loss=lambda rows: rows.norm_test_loss + 0.01),
    "G7": put(CORRUPTION, changed_layerwise=1),
    "L1": setting("architectures.conv3_24.widths", [24, 25]),
    "L2": setting("architectures.conv3_34.kernel", 3),
    "L3": setting("architectures.conv5.widths", [32, 64, 64, 127]),
    "L4": setting("architectures.conv5_16.widths", [16, 16, 16, 15]),
    "L5": setting("architectures.resnet56.depth", 50),
    "B1": put("init_bn", train_size=200_000),
    "1a": put("train_size", test_error=0.2),
    "1b": put("train_size", test_error=lambda rows: rows.train_error + 0.3),
    "1c": put("train_size", random=True, test_error=0.8),
    "1d": setting("experiments.train_size.network.epochs", 71),
    "2a": put("init_3layer", **ON_ITSELF),
    "2b": put("init_3layer", norm_test_loss=lambda rows: rows.norm_train_loss - 1e-3),
    "2c": put("init_3layer", random=True, test_error=0.8),
    "2f": put("init_resnet", test_error=0.12),
    "2g": put("init_resnet", norm_test_loss=mirrored("norm_test_loss")),
    "2h": put("init_resnet", norm_test_loss=1.9),
    "2j": put("init_3layer", random=True, norm_train_loss=2.2),
    "2k": put("init_3layer", random=True, norm_test_loss=LN10),
    "2l": put("init_3layer", norm_test_loss=steeper(0.7)),
    "S1": put("init_bn", test_loss=lambda rows: 2 * rows.train_loss),
    "S2": as_it_is,  # the paper's own slope of 0.836
    "3a": put("width", test_error=lambda rows: 0.2 + 0.02 * np.log(rows.num_parameters)),
    "3b": put(CORRUPTION, test_loss=20.0),
    "4a": put("init_3layer", rho=mirrored("rho")),
    "4b": put("init_3layer", test_error=mirrored("test_error")),
    "4c": put("init_3layer", rho=mirrored("rho")),
    "5a": put("corruption_bn", train_loss=0.02),
    "5b": put("corruption_bn", test_error=mirrored("test_error")),
    "5d": setting("experiments.corruption_bn.pretrain.epochs", 31),
    "6": put("init_bn", random=False, test_error=mirrored("test_error")),
    "7": put("corruption_bn_100", test_loss=mirrored("test_loss")),
    "8": put("init_bn_100", random=False, test_error=mirrored("test_error")),
    "9a": put(CORRUPTION, norm_test_loss=steeper(1.0)),
    "9b": put(CORRUPTION, norm_test_loss=lambda rows: rows.norm_test_loss + 1e-3 * np.sin(1e6 * rows.norm_train_loss)),
    "9c": as_it_is,  # the code itself is changed, see below
    "10a": put(CORRUPTION, norm_test_loss=steeper(0.7)),
    "10b": put(CORRUPTION, train_loss=0.05),
    "10c": put(CORRUPTION, norm_test_loss=lambda rows: LN10 - 3 * (LN10 - rows.norm_test_loss)),
    "10d": lambda world: world.networks.update(
        steeper(0.9)(world.networks[(world.networks.experiment == CORRUPTION) & (world.networks.norm == "l1")]).rename(
            "norm_test_loss"
        )
    ),
    "10e": put(CORRUPTION, **ON_ITSELF),
    "10f": setting("experiments.corruption_3layer.network.epochs", 299),
    "11a": put("corruption_bn", **ON_ITSELF),
    "11b": put("corruption_bn", rho=mirrored("rho")),
    "11c": put("corruption_bn", **ONE_LESS),
    "11d": put("init_bn", changed_layerwise=1622),
    "12a": put("init_bn", random=True, test_error=0.8),
    "12b": put("init_bn", random=True, norm_test_loss=LN10),
    "13a": put(FIXED, train_loss=0.0047),
    "13b": put(FIXED, test_error=mirrored("test_error")),
    "13c": put(FIXED, test_loss=mirrored("test_loss")),
    "14a": put(CORRUPTION, test_error=mirrored("test_error")),
    "15a": put(GRAY, norm_test_loss=steeper(0.9)),
    "15b": put(GRAY, train_error=0.001),
    "15c": put(GRAY, norm_test_loss=lambda rows: rows.norm_train_loss + 1e-4),
    "15d": setting("experiments.init_3layer_gray.network.epochs", 799),
    "16a": put(GRAY, random=True, norm_test_loss=LN10 + 0.02),
    "16b": put(GRAY, random=True, norm_test_loss=LN10),
    "17": put("corruption_bn_100", **ON_ITSELF),
    "18": put("init_bn_100", random=True, test_error=0.9),
    "18b": put("init_bn_100", random=True, norm_test_loss=np.log(100)),
    "19a": put("train_size", norm_test_loss=lambda rows: rows.norm_train_loss + 1e-8 * rows.train_size),
    "19b": put("train_size", norm_test_loss=lambda rows: rows.norm_train_loss + 0.005),
    "19c": put("train_size", random=True, norm_test_loss=lambda rows: rows.norm_train_loss + 1e-8 * rows.train_size),
    "19d": put("train_size", random=False, test_error=lambda rows: rows.train_error),
    "20a": put(GRAY, norm_max_output_mean=0.2),
    "20b": put(GRAY, max_output_std=1.0),
    "20c": as_it_is,  # the claim itself is changed, see below
    "20d": put(GRAY, max_output_std=lambda rows: 1.01 * rows.max_output_std),
    "J1": put(CORRUPTION, test_error=mirrored("test_error")),
    "RHO1": falling_rho,
    "MON": backwards,
    "C1": put(FIXED, test_loss=shuffled("test_loss")),
    "E1": put("init_bn", rho=mirrored("rho")),
    "D1a": put("init_3layer", **NO_LINE),
    "D1b": put("init_bn", norm_test_loss=steeper(0.8)),
    "D2": put("corruption_bn", **NO_LINE),
    "D3": put(FIXED, norm_test_loss=steeper(0.7)),
}
FAILS |= {
    name: put(claim["experiments"][0], random=False, test_error=mirrored("test_error"))
    for name, claim in CLAIMS.items()
    if name.startswith("2i-")
}


def no_gap(world: World) -> None:
    """What contradicts the paper's own slope of 0.836."""
    world.networks["norm_test_loss"] = world.networks.norm_train_loss + 1e-5


HOLD: dict[str, Callable[[World], None]] = {"S2": no_gap}


def changed(world: World, change: Callable[[World], None]) -> World:
    world = World(world.config, world.networks.copy(), world.families, world.history.copy())
    change(world)
    return world


def truth(claim: dict, verdict: str) -> str:
    """The verdict of a claim, or that of an identity."""
    return {REPRODUCED: HOLDS, NOT_REPRODUCED: DOES_NOT_HOLD}[verdict] if claim["kind"] == "identity" else verdict


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_that_is_true_is_reproduced(world: World, name: str) -> None:
    row = verdict(CLAIMS[name], changed(world, HOLD.get(name, as_it_is)))
    assert row["verdict"] == truth(CLAIMS[name], REPRODUCED), row["why"]


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_that_is_false_is_not_reproduced(world: World, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = copy.deepcopy(CLAIMS[name])
    if name == "9c":
        monkeypatch.setattr(layers, "L1_DIVISOR", 1.0)
    if name == "20c":
        claim["tests"][0]["ends"] = [0.02, 0.033827]
    row = verdict(claim, changed(world, FAILS[name]))
    assert row["verdict"] == truth(claim, NOT_REPRODUCED), row["why"]


@pytest.mark.parametrize("name", [n for n, claim in CLAIMS.items() if claim["kind"] != "identity"])
def test_a_claim_is_undecided_where_intervals_are_wide_or_networks_missing(
    world: World, diverged: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wide(function: Callable) -> Callable:
        return lambda *arguments, **_: (function(*arguments)[0], -1e9, 1e9)

    for module_function in ("interval", "median"):
        monkeypatch.setattr(intervals, module_function, wide(getattr(intervals, module_function)))
    unsure = verdict(CLAIMS[name], changed(world, HOLD.get(name, as_it_is)))
    by_interval = unsure["interval"] == INTERVAL and ", by value" not in unsure["why"]
    assert unsure["verdict"] == (UNDECIDED if by_interval else REPRODUCED), unsure["why"]
    if unsure["verdict"] == REPRODUCED:  # judged by values alone: then too few networks is what can be
        assert verdict(CLAIMS[name], diverged)["verdict"] == UNDECIDED


@pytest.mark.parametrize("name", [n for n, claim in CLAIMS.items() if claim["kind"] != "identity"])
def test_networks_that_diverged_reproduce_nothing(diverged: World, name: str) -> None:
    row = verdict(CLAIMS[name], diverged)
    assert row["verdict"] in (UNDECIDED, NOT_RUN), row["why"]


@pytest.fixture(scope="module")
def diverged(world: World) -> World:
    """Outputs that are not numbers are of class 0: errors at chance, without training error where labels are so."""
    nowhere = changed(world, as_it_is)
    for table in (nowhere.networks, nowhere.history):
        table[["train_loss", "test_loss", "norm_train_loss", "norm_test_loss", "rho"]] = np.nan
    return nowhere


def test_one_network_that_diverged_changes_nothing(world: World) -> None:
    lost = changed(world, as_it_is)
    first = lost.networks.network == lost.networks[lost.networks.experiment == CORRUPTION].network.iloc[0]
    lost.networks.loc[first, ["train_loss", "test_loss", "test_error"]] = [np.nan, np.inf, 0.9]
    without = changed(world, as_it_is)
    without.networks = without.networks[~first].reset_index(drop=True)
    for name in ("14a", "10a", "10b", "2i-corruption_3layer"):
        assert verdict(CLAIMS[name], lost) == verdict(CLAIMS[name], without)


def test_every_claim_has_its_row_in_order_with_a_verdict_and_a_reason(world: World) -> None:
    card = scorecard(evidence(world, list(world.config.experiments)))
    assert list(card.id) == list(CLAIMS)
    assert set(card.verdict) <= {*VERDICTS, *OF_IDENTITIES}
    assert (card.why.str.len() > 10).all()
    assert (card.statement.str.len() > 20).all()
    claims, identities = count_verdicts(card)
    assert sum(claims.values()) + sum(identities.values()) == len(card)
    assert identities == {HOLDS: (card.kind == "identity").sum(), DOES_NOT_HOLD: 0, UNDECIDED: 0, NOT_RUN: 0}


def test_the_reasons_of_a_claim_are_one_for_each_test(world: World) -> None:
    rows = scorecard(evidence(world, list(world.config.experiments))).to_dict("records")
    for row in rows:
        reason, tests = parts_of_why(row["why"])
        assert len(tests) == len(CLAIMS[row["id"]]["tests"]), row["id"]
        assert (BUT_HERE in row["why"]) == bool(reason)
    assert {row["outcome"] for row in rows} <= {"yes", "no", "undecided", "absent", "shown"}


def test_a_setting_that_differs_is_named(world: World) -> None:
    changed = copy.copy(world)
    setting("experiments.corruption_bn.pretrain.epochs", 25)(changed)
    row = verdict(CLAIMS["5d"], changed)
    assert (row["verdict"], row["ours"], row["outcome"]) == (DOES_NOT_HOLD, pytest.approx(3 / 33), "no")
    assert "pretraining epochs 30 is asked, found 25" in row["why"]
    assert row["quantity"] == "settings (epochs 80, pretraining epochs 30)"


def test_no_claim_is_dropped() -> None:
    figures = "1abcd 2abcfghjkl 3ab 4abc 5abd 9abc 10abcdef 11abcd 12ab 13abc 14a 15abcd 16ab 18b 19abcd 20abcd"
    expected = {f"{f.rstrip('abcdefghijkl')}{letter}" for f in figures.split() for letter in f.lstrip("0123456789")}
    expected |= {f"G{k}" for k in range(1, 8)} | {f"L{k}" for k in range(1, 6)} | {"G4b", "B1", "S1", "S2", "MON"}
    expected |= {"6", "7", "8", "17", "18", "J1", "RHO1", "C1", "E1", "D1a", "D1b", "D2", "D3"}
    fitted = set(CLAIMS["G3"]["experiments"])
    assert set(CLAIMS) == expected | {f"2i-{experiment}" for experiment in fitted}
    assert len(load_claims()) == len(CLAIMS)


def test_identities_are_counted_apart() -> None:
    identities = {name for name, claim in CLAIMS.items() if claim["kind"] == "identity"}
    assert identities >= {"G1", "G2", "L1", "L2", "L3", "L4", "L5", "1d", "9c", "11c", "20c", "20d", "4a", "B1"}
    apart = {"settings", "parameters", "l1_divisor", "arithmetic"}
    for name in set(CLAIMS) - identities:
        assert not apart & {test["of"] for test in CLAIMS[name]["tests"]}, name


def test_every_statistic_is_used_and_known() -> None:
    used = {test["of"] for claim in CLAIMS.values() for test in claim["tests"]}
    assert used == set(STATISTICS)


def test_an_experiment_that_is_not_run_decides_nothing(world: World) -> None:
    experiments = {name: e for name, e in world.config.experiments.items() if name != "width"}
    less = changed(world, as_it_is)
    less.config = Config(world.config.raw, "less", experiments, {})
    row = verdict(CLAIMS["3a"], less)
    assert (row["verdict"], row["why"]) == (NOT_RUN, "width is not part of this run")


@pytest.mark.parametrize("name", [n for n, c in CLAIMS.items() if set(c.get("needs", {})) - {"spread", "seed_spread"}])
def test_other_data_or_smaller_sizes_decide_nothing(world: World, name: str) -> None:
    def smaller(world: World) -> None:
        world.networks["dataset"], world.networks["num_classes"] = "digits", 10
        world.networks["train_size"] = world.networks.train_size.clip(upper=1437)
        world.networks["num_parameters"] = 1000

    row = verdict(CLAIMS[name], changed(world, smaller))
    assert row["verdict"] == NOT_RUN
    assert row["why"].startswith("it is about ")


@pytest.mark.parametrize("name", [n for n, c in CLAIMS.items() if "data" in c.get("needs", {})])
def test_data_are_judged_by_what_they_are_and_not_by_their_name(world: World, name: str) -> None:
    def renamed(world: World) -> None:
        world.networks["data"] = "other"  # the column dataset still says cifar10, or mnist

    row = verdict(CLAIMS[name], changed(world, renamed))
    assert row["verdict"] == NOT_RUN
    assert row["why"].startswith(f"it is about data {CLAIMS[name]['needs']['data']}, this run has other")


@pytest.mark.parametrize("name", [n for n, c in CLAIMS.items() if "spread" in c.get("needs", {})])
def test_networks_that_do_not_differ_decide_no_trend(world: World, name: str) -> None:
    def alike(world: World) -> None:
        draw = np.random.default_rng(0)
        world.networks["test_error"] = 0.4 + 0.0005 * draw.standard_normal(len(world.networks))

    row = verdict(CLAIMS[name], changed(world, alike))
    assert row["verdict"] == UNDECIDED
    assert row["why"].startswith("networks differ by only 0.")


def test_a_column_that_a_run_lacks_decides_nothing(world: World) -> None:
    older = changed(world, as_it_is)
    older.networks = older.networks.drop(columns="changed_layerwise")
    row = verdict(CLAIMS["11d"], older)
    assert (row["verdict"], row["asked"]) == (NOT_RUN, "≤ 0")
    assert row["why"] == "every (changed_layerwise): this run has no column changed_layerwise"


def test_too_few_networks_decide_nothing(world: World) -> None:
    row = verdict(CLAIMS["11a"], changed(world, put("corruption_bn", met_criterion=False)))
    assert row["verdict"] == UNDECIDED
    assert "only 0 such networks, needs 4" in row["why"]


def test_a_small_test_set_cannot_tell_who_is_at_chance(world: World) -> None:
    row = verdict(CLAIMS["1c"], changed(world, put("train_size", test_size=360)))
    assert row["verdict"] == UNDECIDED
    assert "360 test examples are too few" in row["why"]


def test_networks_that_missed_count_where_all_are_claimed_to_have_no_error(world: World) -> None:
    missed = changed(world, both(put("init_bn", train_error=0.5), put("init_bn", met_criterion=False)))
    assert verdict(CLAIMS["G3"], missed)["verdict"] == NOT_REPRODUCED


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.7, 0.9, "yes"), (0.1, 0.5, "no"), (0.5, 0.9, "undecided"), (np.nan, np.nan, "undecided"), (0.6, 0.6, "yes")],
)
def test_what_has_an_interval_is_judged_by_it(low: float, high: float, expected: str) -> None:
    found = Found(0.7, low, high, INTERVAL)
    assert outcome({"at_least": 0.6}, found) == expected
    assert outcome({"at_least": 0.6, "judge": "value"}, found) == "yes"
    assert outcome({}, found) == "shown"


def test_one_test_that_fails_decides_whatever_the_others_say(world: World) -> None:
    claim = copy.deepcopy(CLAIMS["11a"])
    claim["tests"] = [{"of": "fit", "column": "slope", "at_least": 0}, {"of": "fit", "column": "r2", "at_most": 0.5}]
    claim["tests"] += [{"of": "mean", "column": "no_such_column", "at_least": 0}]
    row = verdict(claim, world)
    assert (row["verdict"], row["quantity"], row["asked"]) == (NOT_REPRODUCED, "fit (r2)", "≤ 0.5")


def test_a_claim_counts_the_chance_of_test_examples(world: World) -> None:
    """With few test examples, what is certain of the networks alone is undecided; those of another snapshot do not count."""
    claim = CLAIMS["2i-corruption_bn"]
    claim = claim | {"tests": [claim["tests"][0] | {"at_least": 0.9}]}
    table = world.networks[(world.networks.experiment == "corruption_bn") & ~world.networks.random_labels]
    draw = np.random.default_rng(0)

    def seen_on(count: int) -> Evidence:
        correct = {n: draw.random(count) >= e for n, e in zip(table.network, table.test_error, strict=True)}
        return Evidence(world.config, world.networks, pd.DataFrame(), world.history, {"corruption_bn": correct})

    without, many, few = (judge(claim, e) for e in (evidence(world, []), seen_on(100_000), seen_on(10)))
    assert (without["verdict"], many["verdict"], few["verdict"]) == (REPRODUCED, REPRODUCED, UNDECIDED)
    assert few["low"] < many["low"]
    assert seen_on(10).test_examples(table.assign(snapshot="another")) is None
    assert seen_on(10).test_examples(world.networks) is None


def test_the_monitoring_claim_and_table_agree(world: World) -> None:
    experiment = world.config.experiments["corruption_bn"]
    history = world.history[world.history.experiment == "corruption_bn"]
    about = {n.name: {"group": n.group, "value": n.value} for n in experiment.networks}
    table = monitor_experiment(history.join(pd.DataFrame(about).T, on="network"), experiment.fit_groups)
    means = table.groupby("monitored").regret.mean()
    for column in ("norm_train_loss", "train_loss"):
        test = {"x": column, "labels": "natural"}
        found = STATISTICS["stopping_regret"](evidence(world, []), test, ["corruption_bn"])
        assert found.value == pytest.approx(means[column])
        tau = STATISTICS["within_network_kendall"](evidence(world, []), test, ["corruption_bn"])
        assert tau.value == pytest.approx(table[table.monitored == column].tau.median())
    assert means["train_loss"] > means["norm_train_loss"] == 0
