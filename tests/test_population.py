"""Training: a network does not know its neighbours, a killed one goes on, and the numbers are those of plain SGD."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import SMALL, small_spec

from puzzles.base import paths
from puzzles.config.specs import Architecture, NetworkSpec, Select
from puzzles.data.batches import CROP_PADDING, batches, crop_draws, crop_flip, learning_rate
from puzzles.data.dataset import Dataset
from puzzles.data.preparation import Preparation
from puzzles.networks.architectures import build, initialize
from puzzles.networks.arithmetic import arithmetic
from puzzles.networks.measure import classification_error, cross_entropy, logits
from puzzles.training import cache
from puzzles.training.members import Member
from puzzles.training.population import LoopEngine, Population
from puzzles.training.stacked_engine import StackedEngine

BATCH_NORM = Architecture("five_layer", (4, 4, 4, 8), batch_norm=True)


def train(digits: Dataset, specs: list[NetworkSpec], **options: object) -> dict[str, cache.Entry]:
    done: dict[str, cache.Entry] = {}
    select = options.pop("select", [Select("last")])
    settings = {"checkpoint_seconds": options.pop("checkpoint_seconds", 1e9), "device": options.pop("device", "cpu")}
    population = Population(digits, options.pop("pretrained", {}), **settings)
    population.engine = options.pop("engine", population.engine)
    population.train([(spec, select) for spec in specs], lambda spec, entry: done.update({spec.hash: entry}), **options)
    return done


def same(a: cache.Entry, b: cache.Entry) -> bool:
    equal = all(torch.equal(a.snapshots[s][name], b.snapshots[s][name]) for s in a.snapshots for name in a.snapshots[s])
    return equal and a.history == b.history and set(a.snapshots) == set(b.snapshots)


@pytest.mark.parametrize("architecture", [SMALL, BATCH_NORM], ids=["plain", "batch norm"])
def test_alone_and_among_eight_the_bits_are_the_same(digits: Dataset, workdir: Path, architecture: Architecture) -> None:
    specs = [small_spec(architecture=architecture, seed=seed) for seed in range(7)]
    specs.append(small_spec(architecture=architecture, seed=0, train_size=120, labels="random", epochs=5, batch_size=17))
    together = train(digits, specs)
    for spec in (specs[0], specs[-1]):
        assert same(train(digits, [spec])[spec.hash], together[spec.hash])
    assert not same(together[specs[0].hash], together[specs[1].hash])


def test_it_is_plain_sgd(digits: Dataset, workdir: Path, device: torch.device) -> None:
    """The engine against a loop written here, with torch's own optimizer and NCHW images."""
    spec = small_spec(lr_milestones=(2,), weight_decay=0.01, epochs=3)
    examples = Preparation(digits, device).examples(spec)
    network = build(spec.architecture, examples.input_shape, 10).to(device)
    initialize(network, spec)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    for epoch in range(3):
        optimizer.param_groups[0]["lr"] = 0.05 if epoch < 2 else 0.005
        for x, y in batches(examples, spec, epoch):
            loss = torch.nn.functional.cross_entropy(network(x.permute(0, 3, 1, 2).contiguous()), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    ours = train(digits, [spec], device=device)[spec.hash].snapshots["last"]
    for name, tensor in network.state_dict().items():
        assert torch.allclose(ours[name], tensor.cpu(), rtol=1e-4, atol=1e-5), name


KAIMING = {"init": "kaiming"}  # far from its start after three epochs: whatever a setting does shows
GOLDEN = {  # what is set; training loss, test loss, rho and normalized training loss at the end
    "plain": ({}, (2.0734059, 2.0858727, 5.194271, 2.2523098)),
    "batch norm": ({"architecture": BATCH_NORM}, (1.8891673, 1.9268418, 101.71974, 2.2973928)),
    "gaussian weights": ({"init": "gaussian", "init_std": 0.2}, (1.4136087, 1.4860538, 29.404642, 2.2501292)),
    "kaiming": (KAIMING, (1.4858476, 1.5570932, 74.477375, 2.2816745)),
    "gain": ({"init_gain": 2.0}, (1.3316531, 1.3988574, 36.92798, 2.2590784)),
    "zero biases": ({"init_bias": "zero"}, (2.137057, 2.1440788, 4.6391281, 2.2630897)),
    "no biases": (KAIMING | {"architecture": replace(SMALL, bias="none")}, (1.422783, 1.5236388, 73.176914, 2.2779732)),
    "biases everywhere": (
        KAIMING | {"architecture": replace(SMALL, bias="all")},
        (1.5099562, 1.5684154, 73.415593, 2.2825477),
    ),
    "conv, batch norm": ({"architecture": replace(SMALL, batch_norm=True)}, (0.88548895, 0.93044228, 33.005248, 2.2336249)),
    "five layers": (
        KAIMING | {"architecture": replace(BATCH_NORM, batch_norm=False)},
        (2.2715498, 2.268775, 324.94359, 2.3024586),
    ),
    "residual": ({"architecture": Architecture("resnet", depth=8)}, (0.28664072, 0.43019618, 2.9008681, 1.1801502)),
    "large kernels": (
        {"architecture": Architecture("conv", (20, 20), 5, bias="first"), "image_size": 20, "epochs": 1},
        (1.9993793, 1.89062, 16.377791, 2.0687407),
    ),
    "crop and flip": (KAIMING | {"augment": "crop_flip"}, (2.2934738, 2.2985306, 60.528841, 2.3024151)),
    "random labels": (KAIMING | {"labels": "random"}, (2.2963978, 2.3014225, 61.219445, 2.3024546)),
    "replaced labels": (
        KAIMING | {"corruption": 0.5, "corruption_rule": "replace"},
        (2.2544418, 2.2662482, 61.283892, 2.3012184),
    ),
    "permuted labels": (
        KAIMING | {"corruption": 0.5, "corruption_rule": "permute"},
        (2.2774385, 2.2566421, 61.032938, 2.3020241),
    ),
    "weight decay": (KAIMING | {"weight_decay": 0.05}, (1.6633163, 1.7139267, 36.031523, 2.2758382)),
    "milestones": (KAIMING | {"lr_milestones": (1, 2)}, (2.026635, 2.079146, 59.661781, 2.2954576)),
    "until no error": (
        {"stop": "until_zero_train_error", "max_epochs": 80, "train_size": 60, "batch_size": 20},
        (0.031952693, 1.0741993, 79.251484, 2.1309011),
    ),
    "given scaling": (
        {"input_mean": (0.5,), "input_std": (0.25,), "image_size": 12},
        (1.2389986, 1.3222323, 8.614151, 2.0553404),
    ),
}


def golden_spec(name: str) -> NetworkSpec:
    return small_spec(**GOLDEN[name][0])


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_training(digits: Dataset, workdir: Path, name: str) -> None:
    """Whoever changes these numbers changes every result: raise TRAINER_VERSION."""
    spec = golden_spec(name)
    row = train(digits, [spec])[spec.hash].history[-1]
    found = [row[column] for column in ("train_loss", "test_loss", "rho", "norm_train_loss")]
    assert found == pytest.approx(GOLDEN[name][1], rel=1e-4)


def test_golden_trainings_have_every_choice_of_the_configuration() -> None:
    schema = yaml.safe_load(paths.SCHEMA.read_text())
    specs = [golden_spec(name) for name in GOLDEN]
    for owners, properties in (
        (specs, schema["$defs"]["network"]["properties"]),
        ([s.architecture for s in specs], schema["properties"]["architectures"]["additionalProperties"]["properties"]),
    ):
        choices = {name: set(entry["enum"]) - {"tf32"} for name, entry in properties.items() if "enum" in entry}  # no GPU
        assert {name: {getattr(owner, name) for owner in owners} for name in choices} == choices


class KilledError(Exception):
    pass


@pytest.mark.parametrize("architecture", [SMALL, BATCH_NORM], ids=["plain", "batch norm"])
def test_a_killed_training_goes_on_from_its_checkpoint_to_the_same_bits(
    digits: Dataset, workdir: Path, architecture: Architecture
) -> None:
    select = [Select("last"), Select("closest_to_train_loss", 1.0, 0.2)]
    specs = [small_spec(architecture=architecture, epochs=8, seed=seed) for seed in (0, 1)]
    undisturbed = train(digits, specs, select=select)
    trained_epochs = []

    def die(members: list[Member]) -> None:
        trained_epochs.extend(m.epoch for m in members)
        if members[0].epoch == 5:
            raise KilledError

    with pytest.raises(KilledError):
        train(digits, specs, select=select, on_epoch=die, checkpoint_seconds=0)
    assert len(list(workdir.rglob("*.pt"))) == len(specs)
    resumed = train(digits, specs, select=select, on_epoch=lambda ms: trained_epochs.extend(m.epoch for m in ms))
    assert all(same(undisturbed[spec.hash], resumed[spec.hash]) for spec in specs)
    assert trained_epochs.count(3) == 2  # once for each network: nothing before the checkpoint was trained again
    assert not list(workdir.rglob("*.pt"))  # the checkpoints are gone


def test_a_snapshot_no_longer_wanted_is_not_stored_as_it_was_when_killed(digits: Dataset, workdir: Path) -> None:
    both, last = [Select("last"), Select("closest_to_train_loss", 0.05, 0.2)], [Select("last")]
    spec = small_spec(epochs=8)

    def die(members: list[Member]) -> None:
        if members[0].epoch == 4:
            raise KilledError

    with pytest.raises(KilledError):
        train(digits, [spec], select=both, on_epoch=die, checkpoint_seconds=0)
    assert set(train(digits, [spec], select=last)[spec.hash].snapshots) == {"last"}


def test_it_stops_at_zero_training_error(digits: Dataset, workdir: Path) -> None:
    spec = small_spec(
        stop="until_zero_train_error", epochs=3, max_epochs=200, train_size=60, batch_size=20, evaluate_every=2
    )
    history = train(digits, [spec])[spec.hash].history
    errors = {row["epoch"]: row["train_error"] for row in history}
    assert errors[max(errors)] == 0
    assert all(error > 0 for epoch, error in errors.items() if 3 <= epoch < max(errors))
    assert max(errors) < 200
    assert set(errors) == {0, 3, *range(2, max(errors) + 1, 2)}

    capped = small_spec(stop="until_zero_train_error", epochs=2, max_epochs=4, labels="random")
    assert train(digits, [capped])[capped.hash].history[-1]["epoch"] == 4


def test_zero_training_error_before_its_time_ends_no_training(digits: Dataset, workdir: Path) -> None:
    """``epochs`` is the least that a network trains."""
    spec = small_spec(stop="until_zero_train_error", epochs=60, max_epochs=80, train_size=60, batch_size=20)
    history = train(digits, [spec])[spec.hash].history
    first = next(row["epoch"] for row in history if row["train_error"] == 0)
    assert first < 50
    assert [row["epoch"] for row in history] == list(range(61))
    assert history[-1]["train_error"] == 0


def test_a_network_that_diverges_stops_and_leaves_the_others_alone(digits: Dataset, workdir: Path) -> None:
    wild, tame = small_spec(lr=1e6, epochs=6), small_spec(epochs=6)
    done = train(digits, [wild, tame])
    last = done[wild.hash].history[-1]
    assert not np.isfinite(last["train_loss"])
    assert np.isnan([last["train_error"], last["test_error"]]).all()  # not .9, as if it guessed
    assert done[wild.hash].history[-1]["epoch"] < 6
    assert done[tame.hash].history[-1]["epoch"] == 6


NO_BIAS = replace(SMALL, bias="none")
DYING = {"architecture": NO_BIAS, "init": "gaussian", "epochs": 60, "evaluate_every": 5}  # at these rates and stds
ENGINES = {"loop": LoopEngine, "stacked": lambda: StackedEngine("grouped")}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_dead_network_ends_early_with_the_weights_it_would_have_had(
    digits: Dataset, workdir: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    dying = [small_spec(**DYING, init_std=0.7, lr=0.2), small_spec(**DYING, init_std=0.3, lr=0.5)]
    alive = small_spec(**DYING, init_std=0.3)
    done = train(digits, [*dying, alive], engine=ENGINES[engine]())
    assert done[alive.hash].history[-1]["epoch"] == 60
    with monkeypatch.context() as patch:
        patch.setattr(Member, "look_whether_dead", lambda _: None)
        whole = train(digits, [*dying, alive], engine=ENGINES[engine]())
    for spec in dying:
        history = done[spec.hash].history
        assert history[-1]["train_error"] == 0.9
        assert history[-1]["epoch"] < 60
        # it has answered 0 for a while: what momentum was left moved weights that could have come back to life
        assert sum(row["train_loss"] == history[-1]["train_loss"] for row in history) > 3
        assert whole[spec.hash].history[: len(history)] == history
        assert whole[spec.hash].history[-1]["epoch"] == 60
        for name, tensor in whole[spec.hash].snapshots["last"].items():
            assert torch.equal(done[spec.hash].snapshots["last"][name], tensor), name


def test_a_dead_network_that_is_killed_ends_at_the_same_epoch(digits: Dataset, workdir: Path) -> None:
    spec = small_spec(**DYING, init_std=0.7, lr=0.2)
    undisturbed = train(digits, [spec])[spec.hash]

    def die(members: list[Member]) -> None:
        if members[0].epoch == undisturbed.history[-1]["epoch"] - 3:
            raise KilledError

    with pytest.raises(KilledError):
        train(digits, [spec], on_epoch=die, checkpoint_seconds=0)
    assert same(train(digits, [spec])[spec.hash], undisturbed)


def test_constant_outputs_that_still_learn_are_not_dead(digits: Dataset, workdir: Path) -> None:
    """No unit fires, but the last layer has a bias: the labels' frequencies can be learned."""
    architecture = replace(SMALL, bias="all")
    spec = small_spec(architecture=architecture, pretrained="silent", init_bias="zero", epochs=4)
    network = build(architecture, (1, 8, 8), 10)
    initialize(network, spec)
    with torch.no_grad():
        network.conv2.weight.fill_(-1)
        network.linear.bias.zero_()
    entry = train(digits, [spec], pretrained={"silent": network.state_dict()})[spec.hash]
    assert entry.history[0]["train_loss"] == pytest.approx(np.log(10), abs=1e-15)
    assert entry.history[-1]["epoch"] == 4
    assert entry.snapshots["last"]["linear.bias"].any()
    assert torch.equal(entry.snapshots["last"]["linear.weight"], network.linear.weight)


def test_a_saddle_is_not_death(digits: Dataset, workdir: Path) -> None:
    """All outputs are 0, since the last weights are, but they have a gradient."""
    spec = small_spec(architecture=NO_BIAS, pretrained="saddle", epochs=4)
    network = build(NO_BIAS, (1, 8, 8), 10)
    initialize(network, spec)
    torch.nn.init.zeros_(network.linear.weight)
    history = train(digits, [spec], pretrained={"saddle": network.state_dict()})[spec.hash].history
    assert history[0]["train_loss"] == pytest.approx(np.log(10), abs=1e-15)
    assert history[-1]["train_loss"] < history[0]["train_loss"]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_first_epoch_without_training_error_is_kept_through_a_kill(digits: Dataset, workdir: Path, engine: str) -> None:
    select = [Select("last"), Select("first_zero_train_error")]
    fits = small_spec(train_size=60, batch_size=20, epochs=60)
    misses = small_spec(train_size=60, batch_size=20, epochs=60, lr=0.001)
    undisturbed = train(digits, [fits, misses], select=select, engine=ENGINES[engine]())
    first = next(row["epoch"] for row in undisturbed[fits.hash].history if row["train_error"] == 0)
    assert 1 < first < 50

    def die_at(epoch: int) -> Callable[[list[Member]], None]:
        def die(members: list[Member]) -> None:
            if members[0].epoch == epoch:
                raise KilledError

        return die

    for epoch in (first - 1, first + 2):  # before it and after it
        with pytest.raises(KilledError):
            options = {"select": select, "on_epoch": die_at(epoch), "checkpoint_seconds": 0}
            train(digits, [fits, misses], engine=ENGINES[engine](), **options)
    resumed = train(digits, [fits, misses], select=select, engine=ENGINES[engine]())
    examples = Preparation(digits).examples(fits)
    for spec, kept in ((fits, first), (misses, 60)):
        assert same(resumed[spec.hash], undisturbed[spec.hash])
        entry, row = resumed[spec.hash], select[1].pick(resumed[spec.hash].history)
        assert row["epoch"] == kept
        assert select[1].met(row["train_loss"], row["train_error"]) == (spec is fits)
        network = build(SMALL, (1, 8, 8), 10)
        network.load_state_dict(entry.snapshots["first_zero_train_error"])
        outputs = logits(network, examples.train_x)
        assert cross_entropy(outputs, examples.train_y) == pytest.approx(row["train_loss"], rel=1e-6)
        assert classification_error(outputs, examples.train_y) == row["train_error"]


def test_fine_tuning_starts_from_the_pretrained_weights(digits: Dataset, workdir: Path) -> None:
    before = small_spec(seed=1000, corruption=0.5)
    pretrained = {before.hash: train(digits, [before])[before.hash].snapshots["last"]}
    after = small_spec(pretrained=before.hash)
    entry = train(digits, [after], pretrained=pretrained)[after.hash]
    network = build(SMALL, (1, 8, 8), 10)
    network.load_state_dict(pretrained[before.hash])
    examples = Preparation(digits).examples(after)
    assert entry.history[0]["train_loss"] == cross_entropy(logits(network, examples.train_x), examples.train_y)


def test_snapshots_are_those_of_their_epochs(digits: Dataset, workdir: Path) -> None:
    select = [Select("closest_to_train_loss", 0.5, 0.2), Select("last")]
    spec = small_spec(epochs=12)
    entry = train(digits, [spec], select=select)[spec.hash]
    network = build(SMALL, (1, 8, 8), 10)
    examples = Preparation(digits).examples(spec)
    for s in select:
        network.load_state_dict(entry.snapshots[s.name])
        assert cross_entropy(logits(network, examples.train_x), examples.train_y) == s.pick(entry.history)["train_loss"]
    assert select[0].pick(entry.history)["epoch"] < 12


def test_every_example_once_in_an_epoch_and_no_batch_of_one(digits: Dataset) -> None:
    examples = Preparation(digits).examples(small_spec(train_size=101, batch_size=25))
    labels = [y for _, y in batches(examples, small_spec(train_size=101, batch_size=25), epoch=0)]
    assert [len(y) for y in labels] == [25, 25, 25, 26]
    assert torch.equal(torch.cat(labels).sort().values, examples.train_y.sort().values)
    again = [y for _, y in batches(examples, small_spec(train_size=101, batch_size=25), epoch=1)]
    assert not torch.equal(torch.cat(labels), torch.cat(again))


def test_learning_rate_schedule() -> None:
    spec = small_spec(lr=0.01, lr_milestones=(2, 4), lr_gamma=0.1)
    assert [learning_rate(spec, epoch) for epoch in range(6)] == pytest.approx([0.01, 0.01, 1e-3, 1e-3, 1e-4, 1e-4])


def test_flip_1_mirrors_an_image_and_flip_0_does_not() -> None:
    image, black = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), torch.zeros(1)
    x, middle = image[None, None, ..., None], CROP_PADDING  # the crop that moves nothing
    crops = {  # rows, columns, flip
        (middle, middle, 0): [[1, 2, 3], [4, 5, 6]],
        (middle, middle, 1): [[3, 2, 1], [6, 5, 4]],
        (middle, middle + 1, 0): [[2, 3, 0], [5, 6, 0]],
        (middle, middle + 1, 1): [[0, 3, 2], [0, 6, 5]],  # cropped, then mirrored
        (middle + 1, middle, 0): [[4, 5, 6], [0, 0, 0]],
    }
    for draws, expected in crops.items():
        assert crop_flip(x, black, *(torch.tensor([[d]]) for d in draws))[0, 0, ..., 0].tolist() == expected, draws


def test_crop_and_flip() -> None:
    x = torch.arange(2 * 6 * 6 * 3, dtype=torch.float32).reshape(2, 6, 6, 3) + 1
    black = torch.tensor([-1.0, -2.0, -3.0])
    seen_flip = seen_shift = 0
    for seed in range(50):
        draws = torch.from_numpy(crop_draws(small_spec(seed=seed, augment="crop_flip"), 0, 2))
        out = crop_flip(x[None], black, *draws[:, None])[0]
        assert out.shape == x.shape
        for image, original in zip(out, x, strict=True):
            inside = image[..., 0] > 0
            assert torch.equal(image[~inside], black.expand(int((~inside).sum()), 3))
            kept = original.reshape(-1, 3)
            assert all((kept == pixel).all(1).any() for pixel in image[inside])
            row = image[inside.any(1)][0, inside.any(0), 0]
            if len(row) > 1:
                seen_flip += int(row[0] > row[-1])
            seen_shift += int(not inside.all())
    assert 30 < seen_flip < 70
    assert seen_shift > 90


def test_augmented_training_is_repeatable(digits: Dataset, workdir: Path) -> None:
    spec = small_spec(augment="crop_flip")
    assert same(train(digits, [spec])[spec.hash], train(digits, [spec])[spec.hash])
    assert not same(train(digits, [spec])[spec.hash], train(digits, [small_spec()])[small_spec().hash])


def test_examples_of_one_population_share_their_images(digits: Dataset) -> None:
    preparation = Preparation(digits)
    a, b = (preparation.examples(small_spec(seed=seed, train_size=0)) for seed in (0, 1))
    assert a.train_x.data_ptr() == b.train_x.data_ptr()


@pytest.mark.parametrize("engine", [LoopEngine, StackedEngine])
@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_steps_compute_as_the_spec_says_whatever_the_user_has_set(
    digits: Dataset, workdir: Path, monkeypatch: pytest.MonkeyPatch, engine: type, precision: str
) -> None:
    """What cuDNN and cuBLAS would be told at each step, seen without a GPU."""
    seen: set[tuple] = set()
    original = torch.nn.functional.cross_entropy

    def spy(*arguments: object, **options: object) -> torch.Tensor:
        seen.add((torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision))
        return original(*arguments, **options)

    member = Population(digits, {})._member(small_spec(precision=precision), [Select("last")])
    monkeypatch.setattr(torch.nn.functional, "cross_entropy", spy)
    with arithmetic({"fp32": "tf32", "tf32": "fp32"}[precision]):  # as the user has set it
        others = torch.backends.cudnn.conv.fp32_precision
        engine().train_epoch([member])
        assert torch.backends.cudnn.conv.fp32_precision == others
    wanted = {"fp32": "ieee", "tf32": "tf32"}[precision]
    assert seen == {(wanted, wanted)} != {(others, others)}
