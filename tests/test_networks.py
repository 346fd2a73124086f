"""The paper's architectures: parameter counts, input sizes, initialization, batch norm."""

from dataclasses import replace

import pytest
import torch
from conftest import small_spec
from torch import nn

from puzzles.base.errors import ArchitectureError
from puzzles.config.builders import BUILDERS, feature_map
from puzzles.config.configuration import load_config
from puzzles.config.specs import Architecture, from_dict
from puzzles.networks.architectures import (
    BUILD,
    Flatten,
    absorb_batch_norm,
    build,
    initialize,
    num_parameters,
    weight_layers,
)
from puzzles.networks.measure import logits

CIFAR, MNIST = (3, 32, 32), (1, 28, 28)


@pytest.fixture
def architectures(raw: dict) -> dict[str, Architecture]:
    return {name: from_dict(Architecture, a) for name, a in raw["architectures"].items()}


@pytest.mark.parametrize(
    ("name", "shape", "classes", "count"),
    [
        ("conv3_24", CIFAR, 10, 154_464),  # App. L.1.1
        ("conv3_34", MNIST, 10, 165_784),  # App. L.1.2
        ("conv3_64", CIFAR, 10, 148_160),  # Figs 2, 4
        ("resnet56", CIFAR, 10, 853_018),  # App. L.3
        ("conv5", CIFAR, 10, 188_810),  # App. L.2, batch norm absorbed
        ("conv5", CIFAR, 100, 200_420),
        ("conv5_16", CIFAR, 10, 9_370),  # Figs 1, 3, 19
        ("conv5_16_plain", CIFAR, 10, 9_370),
    ],
)
def test_parameter_counts(architectures: dict, name: str, shape: tuple, classes: int, count: int) -> None:
    assert num_parameters(build(architectures[name], shape, classes)) == count


def test_width_family(raw: dict) -> None:
    for network in load_config(raw).experiments["width"].networks:
        w = int(network.value)
        assert num_parameters(build(network.spec.architecture, CIFAR, 10)) == 34 * w * w + 41 * w + 10


@pytest.mark.parametrize("side", [8, 9, 14, 28, 33])
def test_each_architecture_works_at_every_size_it_can_take(architectures: dict, side: int) -> None:
    for architecture in architectures.values():
        architecture = replace(architecture, depth=min(architecture.depth, 8))
        if side < 9 and architecture.kernel == 5 and architecture.padding == 0:
            with pytest.raises(
                ArchitectureError, match="found images of 8x8 pixels, of which its convolutions leave nothing"
            ):
                build(architecture, (1, side, side), 10)
            continue
        network = build(architecture, (1, side, side), 10)
        assert network.eval()(torch.zeros(2, 1, side, side)).shape == (2, 10)


def randomized(network: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights everywhere, batch norm included."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            noise = torch.randn(tensor.shape, generator=generator)
            tensor.copy_(noise.abs() + 0.5 if "running_var" in name else noise / max(1, tensor[0].numel()) ** 0.5 + 0.1)
    return network


@pytest.mark.parametrize("name", ["conv5", "conv5_16", "resnet56"])
def test_absorbing_batch_norm_changes_no_output(architectures: dict, name: str) -> None:
    architecture = replace(architectures[name], depth=min(architectures[name].depth, 14))
    network = randomized(build(architecture, CIFAR, 10)).double().eval()
    absorbed = absorb_batch_norm(network)
    images = torch.randn(20, 3, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert not any(isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)) for m in absorbed.modules())
    with torch.no_grad():
        before, after = network(images), absorbed(images)
    assert float((after - before).abs().max() / before.abs().max()) < 1e-12
    assert any(isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)) for m in network.modules())  # a copy


def test_initialization(architectures: dict) -> None:
    network = build(architectures["conv3_24"], CIFAR, 10)
    initialize(network, small_spec(init="gaussian", init_std=0.05))
    layers = dict(weight_layers(network))
    for layer in layers.values():
        assert float(layer.weight.std()) == pytest.approx(0.05, rel=0.05)
        assert abs(float(layer.weight.mean())) < 0.005
    assert 0.1 < float(layers["conv1"].bias.abs().max()) <= 75**-0.5  # PyTorch's default
    first = layers["conv2"].weight.clone()

    initialize(network, small_spec(init="gaussian", init_std=0.1))
    assert torch.allclose(layers["conv2"].weight, 2 * first)  # one draw, scaled
    initialize(network, small_spec(init="gaussian", init_std=0.1, seed=1))
    assert not torch.allclose(layers["conv2"].weight, 2 * first)
    initialize(network, small_spec(init_bias="zero"))
    assert float(layers["conv1"].bias.abs().max()) == 0
    assert float(layers["conv2"].weight.abs().max()) <= 600**-0.5
    initialize(network, small_spec(init="kaiming", init_gain=3))
    assert float(layers["conv2"].weight.std()) == pytest.approx(3 * (2 / 600) ** 0.5, rel=0.05)


def test_default_initialization_is_pytorchs(architectures: dict) -> None:
    ours, theirs = (build(architectures["conv3_64"], CIFAR, 10) for _ in range(2))  # PyTorch initializes as it builds
    initialize(ours, small_spec())
    for (_, mine), (_, torchs) in zip(weight_layers(ours), weight_layers(theirs), strict=True):
        assert float(mine.weight.std()) == pytest.approx(float(torchs.weight.std()), rel=0.03)
        assert float(mine.weight.abs().max()) == pytest.approx(float(torchs.weight.abs().max()), rel=0.01)


def test_outputs_have_the_scale_they_should(architectures: dict) -> None:
    """A network from N(0, std^2) is homogeneous: twice the std in three layers, eight times the output."""
    images = torch.randn(5, 32, 32, 3, generator=torch.Generator().manual_seed(0))
    outputs = []
    for std in (0.05, 0.1):
        network = build(architectures["conv3_64"], CIFAR, 10)
        initialize(network, small_spec(init="gaussian", init_std=std))
        outputs.append(logits(network, images))
    assert torch.allclose(outputs[1], 8 * outputs[0], rtol=1e-4)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_the_gradient_comes_back_in_the_layout_of_the_images(layout: torch.memory_format) -> None:
    images = torch.randn(2, 3, 4, 5).to(memory_format=layout).requires_grad_()
    weights, gradients = torch.randn(60), []
    for flatten in (Flatten(), nn.Flatten()):
        x = images * 1.0
        y = flatten(x)
        x.register_hook(gradients.append)  # after what flatten itself has registered
        (y @ weights).sum().backward()
    ours, torchs = gradients
    assert ours.is_contiguous(memory_format=layout)
    assert torch.equal(ours, torchs)
    if layout == torch.channels_last:
        assert not torchs.is_contiguous(memory_format=layout)


def test_what_is_known_of_an_architecture_is_what_is_built(architectures: dict[str, Architecture]) -> None:
    """The two halves of the registry: the same names, feature maps and convolutions, for images that are not square too."""
    assert set(BUILD) == set(BUILDERS)
    for architecture in architectures.values():
        network = build(architecture, (3, 32, 28), 10)
        shapes: list[torch.Size] = []
        convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
        for layer in convolutions:
            layer.register_forward_hook(lambda module, inputs, output, to=shapes: to.append(output.shape[2:]))
        network.eval()(torch.zeros(1, 3, 32, 28))
        known = BUILDERS[architecture.builder].convolutions(architecture)
        assert tuple(shapes[-1]) == feature_map(architecture, 32, 28)
        assert [(m.out_channels, m.kernel_size[0], m.stride[0], m.padding[0]) for m in convolutions] == known
