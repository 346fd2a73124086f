"""What trains faster on a CPU computes what torch's own layers compute."""

import pytest
import torch
from conftest import small_spec
from torch import nn

from puzzles.config.specs import Architecture
from puzzles.networks.architectures import build, initialize
from puzzles.networks.fourier import IMAGES_AT_ONCE
from puzzles.networks.layers import Conv2d, fourier_pays

SHAPES = {  # images, channels, side; filters, kernel, padding
    "layer 2 of 24 filters": (32, 24, 28, 24, 5, 0),
    "layer 2 of 34 filters": (32, 34, 24, 34, 5, 0),
    "an odd number of images, more filters than channels": (33, 20, 12, 25, 5, 0),
    "more than a chunk": (IMAGES_AT_ONCE + 35, 20, 13, 20, 5, 0),
    "padded, larger kernel": (40, 21, 12, 22, 7, 3),
}


def case(name: str, dtype: torch.dtype) -> tuple[Conv2d, torch.Tensor, torch.Tensor]:
    """A layer, its images and the gradient that comes back to it."""
    images, channels, side, filters, kernel, padding = SHAPES[name]
    draw = torch.Generator().manual_seed(0)
    layer = Conv2d(channels, filters, kernel, padding=padding, dtype=dtype)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draw) / kernel**2)
    x = torch.randn(images, channels, side, side, generator=draw).relu().to(dtype)
    out = side + 2 * padding - kernel + 1
    return layer, x, torch.randn(images, filters, out, out, generator=draw).to(dtype)


def results(layer: nn.Module, x: torch.Tensor, gradient: torch.Tensor, plain: bool) -> list[torch.Tensor]:
    """Outputs and the gradients of images, filters and biases."""
    x = x.clone().contiguous(memory_format=torch.channels_last).requires_grad_()
    y = nn.Conv2d.forward(layer, x) if plain else layer(x)
    return [y.detach(), *torch.autograd.grad(y, (x, *layer.parameters()), gradient)]


def error(found: torch.Tensor, exact: torch.Tensor) -> float:
    return float((found.detach().double() - exact.detach()).norm() / exact.detach().norm())


@pytest.mark.parametrize("name", SHAPES)
def test_the_fourier_transform_gives_what_a_direct_convolution_gives(name: str) -> None:
    layer, x, gradient = case(name, torch.float64)
    assert fourier_pays(layer, x)
    for found, exact in zip(results(layer, x, gradient, False), results(layer, x, gradient, True), strict=True):
        assert found.shape == exact.shape
        assert error(found, exact) < 1e-12


@pytest.mark.parametrize("name", SHAPES)
def test_in_float32_it_is_no_less_exact(name: str) -> None:
    layer, x, gradient = case(name, torch.float32)
    ours, theirs = results(layer, x, gradient, False), results(layer, x, gradient, True)
    exact = results(layer.double(), x.double(), gradient.double(), True)
    for found, direct, truth in zip(ours, theirs, exact, strict=True):
        assert error(found, truth) < 1.5 * error(direct, truth) + 1e-7


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(5, 1, 0), (3, 2, 1)])
def test_grey_images_give_the_same(kernel: int, stride: int, padding: int) -> None:
    layer = Conv2d(1, 34, kernel, stride, padding, dtype=torch.float64)
    x = torch.randn(7, 1, 16, 16, dtype=torch.float64)
    expected = nn.Conv2d.forward(layer, x)
    gradient = torch.randn_like(expected)
    found = layer(x)
    for a, b in zip(
        [found, *torch.autograd.grad(found, layer.parameters(), gradient)],
        [expected, *torch.autograd.grad(expected, layer.parameters(), gradient)],
        strict=True,
    ):
        assert error(a, b) < 1e-12


@pytest.mark.parametrize(
    ("architecture", "side", "channels"),
    [(Architecture("conv", (24, 24), 5, bias="first"), 32, 3), (Architecture("conv", (34, 34), 5, bias="first"), 28, 1)],
    ids=["24 filters", "34 filters"],
)
def test_a_step_of_a_whole_network_is_that_of_torchs_own_layers(
    architecture: Architecture, side: int, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = build(architecture, (channels, side, side), 10).double().to(memory_format=torch.channels_last)
    initialize(network, small_spec())
    x, y = torch.randn(32, channels, side, side, dtype=torch.float64), torch.arange(32) % 10
    gradients = []
    for forward in (Conv2d.forward, nn.Conv2d.forward):
        monkeypatch.setattr(Conv2d, "forward", forward)
        gradients.append(torch.autograd.grad(nn.functional.cross_entropy(network(x), y), list(network.parameters())))
    for found, exact in zip(*gradients, strict=True):
        assert error(found, exact) < 1e-12


def test_evaluation_is_torchs_own() -> None:
    """So that what is measured does not depend on how a network was trained."""
    layer, x, _ = case("layer 2 of 24 filters", torch.float32)
    with torch.no_grad():
        assert torch.equal(layer.eval()(x), nn.Conv2d.forward(layer, x))
