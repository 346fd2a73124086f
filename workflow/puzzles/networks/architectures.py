"""The paper's networks: build them, initialize them, absorb their batch norm."""

import copy
from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from torch import nn

from puzzles.base.errors import ArchitectureError
from puzzles.base.randomness import generator
from puzzles.config.builders import feature_map
from puzzles.config.own_code import is_own
from puzzles.config.specs import Architecture, NetworkSpec
from puzzles.networks.layers import Conv2d, Flatten
from puzzles.networks.own import Own, build_own, initialize_own
from puzzles.normalize.layers import FOLDABLE, fold

LAYERS = FOLDABLE  # the kinds of layers with weights; the paper's are Conv2d and Linear


def build(architecture: Architecture, input_shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """A module that maps images [B, C, H, W] to logits [B, num_classes], with weights that are to be initialized.

    Raises:
        ArchitectureError: the images are too small; or code of one's own fails, or returns no such module (``own``).
    """
    if is_own(architecture.builder):
        return build_own(architecture, input_shape, num_classes)
    channels, height, width = input_shape
    features = feature_map(architecture, height, width)
    if min(features) < 1:
        shape = f"{height}x{width}"
        raise ArchitectureError(
            f"{architecture.builder} with widths {list(architecture.widths)}: found images of {shape} pixels, of which its "
            f"convolutions leave nothing; expected larger ones (set image_size)"
        )
    return BUILD[architecture.builder](architecture, channels, features[0] * features[1], num_classes)


def _conv(a: Architecture, channels: int, features: int, num_classes: int) -> nn.Sequential:
    """Convolutions with ReLU and one linear layer (Figs 2, 4; App. L.1)."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for k, width in enumerate(a.widths, start=1):
        bias = a.bias == "all" or (a.bias == "first" and k == 1)
        convolution = Conv2d(channels, width, a.kernel, a.stride, a.padding, bias=bias and not a.batch_norm)
        _add_hidden(parts, f"conv{k}", convolution, nn.BatchNorm2d(width) if a.batch_norm else None)
        channels = width
    parts["flatten"] = Flatten()
    parts["linear"] = nn.Linear(channels * features, num_classes, bias=a.bias == "all")
    return nn.Sequential(parts)


def _five_layer(a: Architecture, channels: int, features: int, num_classes: int) -> nn.Sequential:
    """Three 3x3 convolutions of stride 2, a hidden linear layer (a convolution over the whole map), a linear layer.

    App. L.2: with widths 32, 64, 64, 128 on CIFAR-10, 188,810 parameters once batch norm is absorbed.
    """
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    *filters, hidden = a.widths
    for k, width in enumerate(filters, start=1):
        convolution = Conv2d(channels, width, 3, stride=2, padding=1, bias=not a.batch_norm)
        _add_hidden(parts, f"conv{k}", convolution, nn.BatchNorm2d(width) if a.batch_norm else None)
        channels = width
    parts["flatten"] = Flatten()
    linear = nn.Linear(channels * features, hidden, bias=not a.batch_norm)
    _add_hidden(parts, "linear4", linear, nn.BatchNorm1d(hidden) if a.batch_norm else None)
    parts["linear5"] = nn.Linear(hidden, num_classes)
    return nn.Sequential(parts)


def _add_hidden(parts: OrderedDict, name: str, layer: nn.Module, batch_norm: nn.Module | None) -> None:
    parts[name] = layer
    if batch_norm is not None:
        parts[f"{name}_bn"] = batch_norm
    parts[f"{name}_relu"] = nn.ReLU()


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut without parameters: subsampled, zeros for missing channels (option A)."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()
        self.stride, self.missing = stride, width - channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, channels, H, W] to [B, width, H / stride, W / stride]."""
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        shortcut = x[:, :, :: self.stride, :: self.stride]
        if self.missing:
            before = self.missing // 2
            shortcut = nn.functional.pad(shortcut, (0, 0, 0, 0, before, self.missing - before))
        return self.relu2(y + shortcut)


def _resnet(a: Architecture, channels: int, features: int, num_classes: int) -> nn.Sequential:
    """The residual network for CIFAR (App. L.3): 6n + 2 layers, 16, 32 and 64 channels, mean over the last map."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    _add_hidden(parts, "conv1", Conv2d(channels, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16))
    blocks, width = (a.depth - 2) // 6, 16
    for stage, out in enumerate((16, 32, 64), start=1):
        for k in range(1, blocks + 1):
            parts[f"stage{stage}_block{k}"] = Block(width, out, stride=2 if k == 1 and stage > 1 else 1)
            width = out
    parts["pool"] = nn.AdaptiveAvgPool2d(1)
    parts["flatten"] = Flatten()
    parts["linear"] = nn.Linear(64, num_classes)
    return nn.Sequential(parts)


BUILD = {"conv": _conv, "five_layer": _five_layer, "resnet": _resnet}  # the other half of config.builders.BUILDERS


def initialize(network: nn.Module, spec: NetworkSpec) -> None:
    """Draw the initial weights of ``spec`` into ``network``, each tensor from its own stream.

    ``gaussian``: weights N(0, init_std^2). ``kaiming``: N(0, 2 / fan_in). ``default``: U(+-1/sqrt(fan_in)), as PyTorch
    does for convolutions and linear layers. Biases are U(+-1/sqrt(fan_in)) or zero; batch norm starts at gamma 1, beta 0.
    ``init_gain`` multiplies the weights. For networks of one's own see ``own.initialize_own``.
    """
    if isinstance(network, Own):
        initialize_own(network, spec)
        return
    for name, layer in network.named_modules():
        if not isinstance(layer, LAYERS):
            continue
        draw = generator(spec.seed, f"init/{name}.weight")
        shape = tuple(layer.weight.shape)
        bound = int(np.prod(shape[1:])) ** -0.5  # 1 / sqrt(fan_in)
        if spec.init == "default":
            weight = draw.uniform(-bound, bound, shape)
        else:
            weight = draw.standard_normal(shape) * (spec.init_std if spec.init == "gaussian" else 2**0.5 * bound)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weight * spec.init_gain))
            if layer.bias is not None:
                bias = generator(spec.seed, f"init/{name}.bias").uniform(-bound, bound, shape[0])
                layer.bias.copy_(torch.from_numpy(bias if spec.init_bias == "default" else np.zeros(shape[0])))


def absorb_batch_norm(network: nn.Module) -> nn.Module:
    """Copy a network without its batch norm; in eval mode the copy computes the same.

    W' = gamma W / sqrt(var + eps), b' = beta - gamma mu / sqrt(var + eps): each batch-norm layer of a sequential network or
    of a residual block is folded into the layer before it, in float64, and replaced by the identity.
    """
    absorbed = copy.deepcopy(network).eval()
    for module in list(absorbed.modules()):
        layer: nn.Module | None = None
        for name, child in list(module.named_children()):
            if isinstance(child, LAYERS):
                layer = child
            elif isinstance(child, (nn.BatchNorm1d, nn.BatchNorm2d)):
                assert layer is not None  # the layer before the batch norm
                fold(layer, child)
                setattr(module, name, nn.Identity())
    return absorbed


def weight_layers(network: nn.Module) -> list[tuple[str, Any]]:
    """The layers with weights of a network of the paper's, in the order in which they are computed."""
    return [(name, layer) for name, layer in network.named_modules() if isinstance(layer, LAYERS)]


def num_parameters(network: nn.Module) -> int:
    """The number of trainable parameters, after batch norm is absorbed.

    A residual network keeps its batch norm and has 853,018 at depth 56; a network of one's own keeps it too.
    """
    counted = absorb_batch_norm(network) if has_plain_layers(network) else network
    return sum(p.numel() for p in counted.parameters())


def has_plain_layers(network: nn.Module) -> bool:
    """Whether it is one layer after the other, of the paper's kinds: what depends on single layers is then computed."""
    return not isinstance(network, Own) and not any(isinstance(module, Block) for module in network.modules())


def has_norm_product(network: nn.Module) -> bool:
    """Whether scaling a layer scales the output, so that it can be divided by the product of the layers' norms.

    Not where there are shortcuts; in a network of one's own it is tried (``own``).
    """
    return network.normalizer is not None if isinstance(network, Own) else has_plain_layers(network)
