"""Specs, hashes and random streams: what the cache stands on."""

from dataclasses import replace

import numpy as np
import pytest
import yaml
from bench.compare import BATCH, operations
from conftest import ROOT, small_spec

from puzzles.base.randomness import generator
from puzzles.config.builders import multiply_adds
from puzzles.config.configuration import load_config
from puzzles.config.experiments import Network
from puzzles.config.specs import Architecture, NetworkSpec, Select, as_dict, canonical, from_dict
from puzzles.config.work import minutes


def test_golden_hashes(raw: dict) -> None:
    """None of these may change by any modification of the code: every cached network would be orphaned.

    Only a new TRAINER_VERSION changes them, on purpose.
    """
    experiments = load_config(raw).experiments

    def of(name: str, group: str, value: float) -> Network:
        return next(n for n in experiments[name].networks if (n.group, n.value) == (group, value))

    assert of("corruption_3layer", "natural", 0).spec.hash == "0b3ab46dbc6e65d8"
    assert of("train_size", "natural", 100).spec.hash == "95b6b6c3d39697f3"
    assert of("init_bn", "natural", 0.05).spec.hash == "84753cc74dc6aa77"
    assert of("init_3layer_gray", "natural", 0.05).spec.hash == "252cdfb1d7736e03"
    assert of("init_resnet", "natural", 1).spec.hash == "f971dfd0d96ac517"
    pretrained = of("corruption_bn", "pretrained", 0.2)
    assert (pretrained.spec.hash, pretrained.pretraining.hash) == ("063e78ffa6f73adb", "ddc51d2f42e154d6")
    assert of("init_3layer", "natural", 0.06).spec.hash == "ee52de1a2901dd44"
    assert of("init_3layer", "large_std", 0.1).spec.hash == "c26b3c4ade6f282e"
    assert small_spec().hash == "9f049553af73ce0d"


def test_a_default_never_enters_the_canonical_string() -> None:
    spec = NetworkSpec("digits", Architecture("conv", (4,)))
    assert canonical(spec) == '{"architecture":{"builder":"conv","widths":[4]},"dataset":"digits","trainer_version":1}'


def test_equal_settings_have_one_hash_however_they_are_written() -> None:
    a = from_dict(NetworkSpec, {"dataset": "digits", "architecture": {"builder": "conv", "widths": [4]}, "momentum": 0})
    b = from_dict(NetworkSpec, {"dataset": "digits", "architecture": {"builder": "conv", "widths": (4,)}, "momentum": 0.0})
    assert a == b
    assert a.hash == b.hash
    assert from_dict(NetworkSpec, as_dict(a)) == a


@pytest.mark.parametrize("change", [{"lr": 0.02}, {"seed": 1}, {"pretrained": "ab"}, {"input_mean": (0.5,)}, {"epochs": 4}])
def test_every_setting_changes_the_hash(change: dict) -> None:
    assert replace(small_spec(), **change).hash != small_spec().hash


def test_streams_are_independent_and_repeatable() -> None:
    permutations = [
        generator(seed, name, *index).permutation(200).tolist()
        for seed in (0, 1)
        for name in ("batch_order", "train_subset", "corruption/examples", "corruption/swap")
        for index in ((), (0,), (1,))
    ]
    assert len({tuple(p) for p in permutations}) == len(permutations)
    assert generator(3, "batch_order", 7).random() == generator(3, "batch_order", 7).random()


HISTORY = [
    {"epoch": 0, "train_loss": 2.3, "train_error": 0.9},
    {"epoch": 1, "train_loss": 0.02, "train_error": 0.01},
    {"epoch": 2, "train_loss": 0.0044, "train_error": 0.001},
    {"epoch": 3, "train_loss": 0.00435, "train_error": 0.0},
    {"epoch": 4, "train_loss": 0.001, "train_error": 0.0},
]


def test_within_takes_the_nearest_epoch_without_training_error() -> None:
    select = Select("within", 0.0044, 0.0001)
    row = select.pick(HISTORY)
    assert row["epoch"] == 3  # epoch 2 is nearer, but has a training error (Fig. 13)
    assert select.met(row["train_loss"], row["train_error"])
    assert select.pick(HISTORY[:2])["epoch"] == 1  # nothing in the band: the nearest is kept, and marked
    assert not select.met(0.02, 0.01)


def test_closest_to_train_loss_and_last() -> None:
    closest = Select("closest_to_train_loss", 0.006, 0.2, max_train_error=0.002)
    assert closest.pick(HISTORY)["epoch"] == 2
    assert not closest.met(0.0044, 0.001)  # further off than 20 %
    assert closest.met(0.0055, 0.001)
    assert not closest.met(0.0055, 0.01)
    assert Select("last").pick(HISTORY)["epoch"] == 4
    assert closest.pick([HISTORY[0], {"epoch": 1, "train_loss": np.nan, "train_error": 1.0}, HISTORY[2]])["epoch"] == 2


def test_first_zero_train_error_takes_the_first_such_epoch_and_else_the_last() -> None:
    first = Select("first_zero_train_error", max_train_error=0.01)
    assert first.pick(HISTORY)["epoch"] == 3
    assert first.met(0.5, 0.0)
    assert first.pick(HISTORY[:3])["epoch"] == 2
    assert not first.met(0.0044, 0.001)  # whatever else may count as fitted
    assert first.pick(HISTORY[:1])["epoch"] == 0
    already = [{"epoch": 0, "train_loss": 0.1, "train_error": 0.0}, *HISTORY[1:]]
    assert first.pick(already)["epoch"] == 3  # what it starts from is no result of training


def test_snapshot_names() -> None:
    names = [Select("last").name, Select("closest_to_train_loss", 0.006).name, Select("within", 0.0044, 0.0001).name]
    assert names == ["last", "closest_to_train_loss_0.006", "within_0.0044_0.0001"]


@pytest.mark.parametrize("name", ["conv3_64", "conv3_24", "conv3_34", "conv5", "conv5_16", "resnet56"])
def test_operations_are_counted_as_torch_counts_them(name: str) -> None:
    """Convolutions and products of the forward pass; biases, ReLU and batch norm are not counted."""
    architecture = from_dict(Architecture, yaml.safe_load((ROOT / "config.yaml").read_text())["architectures"][name])
    channels, side = (1, 28) if name == "conv3_34" else (3, 32)
    assert 2 * multiply_adds(architecture, channels, side) == operations(architecture, channels, side, 10)[0] // BATCH


def test_more_work_asks_for_more_time() -> None:
    spec = small_spec(epochs=100, train_size=0, architecture=Architecture("resnet", depth=56), dataset="cifar10")
    data = {"source": "cifar10"}
    one, more = minutes([spec], data, 1, False), minutes([spec] * 4, data, 1, False)
    assert minutes([], data, 1, False) < one < more
    assert minutes([spec] * 4, data, 4, False) == one == minutes([spec] * 4, data, 64, False)  # a network is one thread
    assert one < minutes([replace(spec, epochs=200)], data, 1, False)
    assert minutes([spec], data, 1, True) < one
