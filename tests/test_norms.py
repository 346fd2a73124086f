"""f~ = f / rho (Eq. 1): the mathematics of the normalization, on random networks."""

import copy

import pytest
import torch
from conftest import small_spec
from hypothesis import given, settings
from hypothesis import strategies as st

from puzzles.config.specs import Architecture
from puzzles.networks.architectures import build, initialize, weight_layers
from puzzles.networks.norms import divide_layers, layer_norms, rho

BIAS_LIGHT = {
    "no biases (Fig. 2)": (Architecture("conv", (8, 6), 5, 2, 2, "none"), (3, 16, 16)),
    "bias in layer 1 (App. L.1.1)": (Architecture("conv", (6, 5), 5, bias="first"), (3, 16, 16)),
    "bias in layer 1, grey (App. L.1.2)": (Architecture("conv", (7, 7), 3, bias="first"), (1, 12, 12)),
}
NORMS = ["l2", "l2_biases", "l1", "linf", "spectral"]


@pytest.mark.parametrize("which", BIAS_LIGHT)
@pytest.mark.parametrize("norm", NORMS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), std=st.floats(0.001, 3))
def test_dividing_every_layer_divides_the_output_by_rho(which: str, norm: str, seed: int, std: float) -> None:
    architecture, shape = BIAS_LIGHT[which]
    network = build(architecture, shape, 10)
    initialize(network, small_spec(init="gaussian", init_std=std, seed=seed))
    network.double()
    images = torch.randn(6, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    outputs = network(images)
    expected, layerwise = outputs / rho(network, norm), divide_layers(network, norm)(images)
    assert float((expected - layerwise).abs().max()) <= 1e-10 * float(expected.abs().max())
    assert layer_norms(divide_layers(network, norm), norm) == pytest.approx([1, 1, 1], rel=1e-10)
    assert torch.equal(outputs.argmax(1), layerwise.argmax(1))


def test_norms_by_hand() -> None:
    network = build(Architecture("conv", (2,), 1, bias="first"), (1, 1, 1), 2)
    with torch.no_grad():
        (_, first), (_, last) = weight_layers(network)
        first.weight.copy_(torch.tensor([3.0, 0.0]).reshape(2, 1, 1, 1))
        first.bias.copy_(torch.tensor([0.0, 4.0]))
        last.weight.copy_(torch.tensor([[1.0, -2.0], [-4.0, -2.0]]))
    assert layer_norms(network, "l2") == pytest.approx([5, 5])  # the bias counts in layer 1
    assert layer_norms(network, "l1") == pytest.approx([0.07, 0.09])  # each layer / 100 (Fig. 9)
    assert layer_norms(network, "linf") == pytest.approx([4, 4])
    assert layer_norms(network, "spectral") == pytest.approx([4, 20**0.5])
    assert rho(network, "l2") == pytest.approx(25)


def test_with_biases_everywhere_only_weights_count() -> None:
    network = build(Architecture("five_layer", (3, 3, 3, 3)), (1, 8, 8), 10)
    initialize(network, small_spec())
    loud = copy.deepcopy(network)
    with torch.no_grad():
        for _, layer in weight_layers(loud):
            layer.bias.add_(5)
    assert rho(loud) == rho(network)
    assert rho(loud, "l2_biases") > rho(network, "l2_biases") > rho(network)
    images = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    layerwise = divide_layers(loud)(images)  # what captions say: another network than f / rho
    assert float((layerwise - loud(images) / rho(loud)).abs().max()) > 0.01 * float(layerwise.abs().max())


def test_batch_norm_is_absorbed_before_the_norms_are_taken() -> None:
    network = build(Architecture("five_layer", (3, 3, 3, 3), batch_norm=True), (1, 8, 8), 10)
    initialize(network, small_spec())
    plain = rho(network)
    network.conv1_bn.weight.data.mul_(7)  # gamma scales the absorbed first layer
    assert rho(network) == pytest.approx(7 * plain, rel=1e-6)
