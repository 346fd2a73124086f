"""Measurements against definitions and against a full float64 pass."""

import copy
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from conftest import DEVICES, SMALL, small_spec

from puzzles.config.specs import Architecture
from puzzles.data.dataset import Dataset
from puzzles.data.preparation import Examples, Preparation
from puzzles.networks.architectures import build, initialize
from puzzles.networks.evaluation import Evaluated, history_rows
from puzzles.networks.measure import (
    classification_error,
    cross_entropy,
    is_dead,
    logits,
    margins,
    measurements,
    network_outputs,
    watched_units,
)

ARCHITECTURES = {
    "conv3_64": Architecture("conv", (64, 64), 5, 2, 2, "none"),
    "conv3_24": Architecture("conv", (24, 24), 5, bias="first"),
    "conv5": Architecture("five_layer", (32, 64, 64, 128), batch_norm=True),
    "conv5_16_plain": Architecture("five_layer", (16, 16, 16, 16)),
    "resnet8": Architecture("resnet", depth=8),
}


def trained_a_little(architecture: Architecture, examples: Examples) -> torch.nn.Module:
    network = build(architecture, examples.input_shape, 10)
    initialize(network, small_spec())
    optimizer = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9)
    for batch in torch.arange(300).split(50):
        loss = torch.nn.functional.cross_entropy(
            network(examples.train_x[batch].permute(0, 3, 1, 2)), examples.train_y[batch]
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_normalized_losses_agree_with_a_full_float64_pass(digits: Dataset, name: str) -> None:
    preparation = Preparation(digits)
    spec = small_spec(image_size=12)
    examples, x0 = preparation.examples(spec), preparation.reference_image(spec)
    network = trained_a_little(ARCHITECTURES[name], examples)
    norms = ("output",) if name == "resnet8" else ("l2", "l1", "linf", "spectral", "output")
    exact_network = copy.deepcopy(network).double()
    exact_examples = Examples(
        examples.train_x.double(), examples.train_y, examples.test_x.double(), examples.test_y, examples.black
    )
    (ours, _), (exact, _) = (
        measurements(network, examples, norms, x0),
        measurements(exact_network, exact_examples, norms, x0.double()),
    )
    for row, truth in zip(ours, exact, strict=True):
        for column in ("norm_train_loss", "norm_test_loss"):
            # divided by largest weights or by an output, outputs stay large, and fp32's relative error shows in the loss
            tolerance = 1e-7 if row["norm"] in ("l2", "l1", "spectral") else 1e-6 * max(1, truth[column])
            assert row[column] == pytest.approx(truth[column], abs=tolerance, rel=0)
        assert row["rho"] == pytest.approx(truth["rho"], rel=1e-6)
    assert {row["norm"]: row for row in ours}.keys() == set(norms)


def test_cross_entropy_is_the_mean_of_the_natural_log_with_softmax_of_plus_f() -> None:
    outputs = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 3.0]], dtype=torch.float64)
    expected = np.mean([np.log(np.exp(2) + 2) - 2, np.log(1 + np.e + np.exp(3)) - 1])
    assert cross_entropy(outputs, torch.tensor([0, 1])) == pytest.approx(expected, abs=1e-15)
    assert cross_entropy(torch.zeros(4, 10, dtype=torch.float64), torch.arange(4)) == pytest.approx(np.log(10), abs=1e-15)


def test_margin_is_own_output_minus_largest_other() -> None:
    outputs = torch.tensor([[2.0, 0.5, 1.0], [0.0, 1.0, 3.0]], dtype=torch.float64)
    assert margins(outputs, torch.tensor([0, 1])).tolist() == [1.0, -2.0]


def test_margins_of_the_normalized_network(digits: Dataset) -> None:
    preparation = Preparation(digits)
    examples = preparation.examples(small_spec())
    network = trained_a_little(SMALL, examples)
    ((row,), measured) = measurements(network, examples, ("l2",), preparation.reference_image(small_spec()))
    values = margins(logits(network, examples.test_x), examples.test_y) / row["rho"]
    assert row["margin_test_min"] == pytest.approx(float(values.min()))
    assert row["margin_test_median"] == pytest.approx(float(np.median(values.numpy())))
    assert row["margin_test_p10"] == pytest.approx(float(np.quantile(values.numpy(), 0.1)))
    assert row["margin_test_mean"] == pytest.approx(float(values.mean()))
    assert (values < 0).double().mean() == pytest.approx(row["test_error"])
    outputs = logits(network, examples.train_x).max(dim=1).values.numpy()
    assert np.array_equal(measured.train.max(dim=1).values.numpy(), outputs)
    assert row["norm_max_output_mean"] == pytest.approx(outputs.mean() / row["rho"])
    assert row["max_output_std"] == pytest.approx(outputs.std())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_normalizing_changes_no_prediction_and_is_that_of_the_layers_where_it_can_be(digits: Dataset, name: str) -> None:
    preparation = Preparation(digits)
    spec = small_spec(image_size=12)
    examples = preparation.examples(spec)
    network = trained_a_little(ARCHITECTURES[name], examples)
    norm = "output" if name == "resnet8" else "l2"
    ((row,), _) = measurements(network, examples, (norm,), preparation.reference_image(spec))
    assert row["changed_predictions"] == 0
    assert row["norm_test_error"] == row["test_error"]
    if name in ("conv3_64", "conv3_24"):
        assert row["layers_difference"] < 1e-5
        assert np.prod([row[f"layer_norm_{k}"] for k in (1, 2, 3)]) == pytest.approx(row["rho"])
    else:  # biases in deeper layers: layer by layer is another network
        assert np.isnan(row["layers_difference"])


def test_history_and_measurement_agree(digits: Dataset) -> None:
    preparation = Preparation(digits)
    examples, x0 = preparation.examples(small_spec()), preparation.reference_image(small_spec())
    network = trained_a_little(SMALL, examples)
    (row,) = history_rows([Evaluated(network, examples, x0, network_outputs(network, examples))])
    ((measured,), _) = measurements(network, examples, ("l2",), x0)
    assert {key: measured[key] for key in row} == row


def test_active_units_counts_the_smallest_layer() -> None:
    network = build(Architecture("conv", (4, 4), 3, padding=1, bias="first"), (1, 4, 4), 10)
    initialize(network, small_spec())
    with torch.no_grad():
        network.conv2.weight[:3] = -1  # inputs are not negative: three of four channels never fire
        network.conv2.weight[3] = 1
        network.conv1.weight.abs_()
        network.conv1.bias.abs_()
    with watched_units(network) as active_units:
        logits(network, torch.rand(30, 4, 4, 1))
    assert active_units() == pytest.approx({"active_units": 0.25, "active_units_1": 1.0, "active_units_2": 0.25})


@pytest.mark.parametrize("name", ["conv3_24", "conv5", "resnet8"])
@pytest.mark.parametrize("value", [0.0, np.nan], ids=["dead", "diverged"])
def test_dead_and_diverged_networks_are_measured_too(digits: Dataset, name: str, value: float) -> None:
    preparation = Preparation(digits)
    spec = small_spec(image_size=12)
    examples, x0 = preparation.examples(spec), preparation.reference_image(spec)
    network = build(ARCHITECTURES[name], examples.input_shape, 10)
    initialize(network, spec)
    with torch.no_grad():
        network[0].weight.fill_(value)
        for parameter in network.parameters():
            parameter.mul_(1 if value == 0 else value)
    norms = ("output",) if name == "resnet8" else ("l2", "l1", "linf", "spectral", "output")
    rows, _ = measurements(network, examples, norms, x0)
    assert len(rows) == len(norms)
    for row in rows:
        assert row["diverged"] == np.isnan(value)
        assert not row["dead"]  # the first layer's bias, or a last layer's, can still learn
        errors = [row[key] for key in ("train_error", "test_error", "norm_train_error", "norm_test_error")]
        assert all(np.isnan(e) or (e > 0.5 and value == 0) for e in errors)
        assert np.isnan(errors[0]) == np.isnan(row["changed_predictions"]) == np.isnan(value)


def test_dead_means_no_output_and_no_gradient(digits: Dataset) -> None:
    preparation = Preparation(digits)
    examples, x0 = preparation.examples(small_spec()), preparation.reference_image(small_spec())
    network = build(Architecture("conv", (6, 6), 3, 2, 1, bias="none"), examples.input_shape, 10)
    initialize(network, small_spec())
    assert not is_dead(network, examples)
    weight = network.linear.weight.clone()
    torch.nn.init.zeros_(network.linear.weight)
    assert not is_dead(network, examples)  # the last weights have a gradient
    network.linear.weight.data = weight
    network.conv2.weight.data.fill_(-1)  # inputs are not negative: nothing fires
    assert is_dead(network, examples)
    ((row,), _) = measurements(network, examples, ("l2",), x0)
    assert (row["dead"], row["diverged"], row["train_error"]) == (True, False, pytest.approx(0.9, abs=0.01))
    assert all(p.grad is None for p in network.parameters())


def test_outputs_that_are_no_numbers_are_no_classification() -> None:
    outputs = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    assert classification_error(outputs, torch.tensor([0, 0])) == 0.5
    for value in (torch.nan, torch.inf):
        outputs[1, 1] = value
        assert np.isnan(classification_error(outputs, torch.tensor([0, 0])))


def test_batch_norm_is_absorbed_whatever_the_size_of_the_outputs(digits: Dataset) -> None:
    preparation = Preparation(digits)
    examples = preparation.examples(small_spec())
    network = trained_a_little(ARCHITECTURES["conv5"], examples)
    with torch.no_grad():
        network.linear5.weight.mul_(1e5)
    ((row,), _) = measurements(network, examples, ("l2",), preparation.reference_image(small_spec()))
    assert row["train_loss"] > 1000


def allow_tf32_the_older_way() -> None:
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cuda.matmul.allow_tf32 = True


def allow_tf32_the_newer_way() -> None:
    torch.backends.fp32_precision = "tf32"


def allow_tf32_of_each_kind() -> None:
    torch.backends.cudnn.conv.fp32_precision = "tf32"
    torch.backends.cuda.matmul.fp32_precision = "tf32"


def allow_bfloat16_products() -> None:
    torch.set_float32_matmul_precision("medium")


def allow_bfloat16_on_a_cpu() -> None:
    torch.backends.mkldnn.conv.fp32_precision = "bf16"
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"


USERS = [allow_tf32_the_older_way, allow_tf32_the_newer_way, allow_tf32_of_each_kind, allow_bfloat16_products]
USERS += [allow_bfloat16_on_a_cpu]


def user_settings() -> dict[str, object]:
    """Whatever a user may have set; the older names cannot be read once the newer ones were used."""
    readers = {
        "cudnn.conv": lambda: torch.backends.cudnn.conv.fp32_precision,
        "cuda.matmul": lambda: torch.backends.cuda.matmul.fp32_precision,
        "mkldnn.conv": lambda: torch.backends.mkldnn.conv.fp32_precision,
        "mkldnn.matmul": lambda: torch.backends.mkldnn.matmul.fp32_precision,
        "cudnn.allow_tf32": lambda: torch.backends.cudnn.allow_tf32,
        "cuda.matmul.allow_tf32": lambda: torch.backends.cuda.matmul.allow_tf32,
        "matmul_precision": torch.get_float32_matmul_precision,
        "benchmark": lambda: torch.backends.cudnn.benchmark,
    }
    found: dict[str, object] = {}
    for name, read in readers.items():
        try:
            found[name] = read()
        except RuntimeError:
            found[name] = "cannot be read"
    return found


@pytest.fixture(params=USERS, ids=lambda user: user.__name__)
def user(request: pytest.FixtureRequest) -> Iterator[None]:
    """A user who has allowed less than float32 before measuring; afterwards everything is as torch has it at first."""
    before = user_settings()
    request.param()
    torch.backends.cudnn.benchmark = True
    yield
    torch.backends.cudnn.benchmark = False
    torch.backends.fp32_precision = "none"
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = True
    for name, kind in (("cuda.matmul", torch.backends.cuda.matmul), ("mkldnn.matmul", torch.backends.mkldnn.matmul)):
        kind.fp32_precision = before[name]
    torch.backends.mkldnn.conv.fp32_precision = before["mkldnn.conv"]
    assert user_settings() == before


class Probe(torch.nn.Module):
    """Notes what is allowed while it computes; and fails if it is told to."""

    def __init__(self, fails: bool = False) -> None:
        super().__init__()
        self.fails, self.seen = fails, []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(user_settings())
        if self.fails:
            raise ZeroDivisionError
        return x.flatten(1)


@pytest.mark.usefixtures("user")
def test_outputs_are_computed_in_float32_whatever_the_user_has_allowed() -> None:
    """Convolutions and matrix products, on a GPU and on a CPU; and by an algorithm that does not depend on a timing."""
    before, probe = user_settings(), Probe()
    logits(probe, torch.zeros(3, 4, 4, 1))
    (seen,) = probe.seen
    assert {seen[kind] for kind in ("cudnn.conv", "cuda.matmul", "mkldnn.conv", "mkldnn.matmul")} == {"ieee"}
    assert not seen["benchmark"]
    assert user_settings() == before


@pytest.mark.usefixtures("user")
@pytest.mark.parametrize("where", DEVICES)
def test_outputs_differ_from_those_in_float64_by_float32s_grain(digits: Dataset, where: str) -> None:
    examples = Preparation(digits, where).examples(small_spec(image_size=12))
    network = build(ARCHITECTURES["conv5"], examples.input_shape, 10).to(where)
    initialize(network, small_spec(init="kaiming"))
    found = logits(network, examples.test_x)
    exact = logits(network.double(), examples.test_x.double())
    assert float((found - exact).norm() / exact.norm()) < 2e-6  # TF32: about 1e-3


@pytest.mark.usefixtures("user")
def test_the_users_settings_are_back_after_an_error_too() -> None:
    before = user_settings()
    with pytest.raises(ZeroDivisionError):
        logits(Probe(fails=True), torch.zeros(3, 4, 4, 1))
    assert user_settings() == before
