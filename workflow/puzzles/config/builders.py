"""What is known of each kind of architecture without torch; ``networks.architectures`` has the function that builds it."""

from collections.abc import Callable
from dataclasses import dataclass

from puzzles.config.specs import Architecture

Convolution = tuple[int, int, int, int]  # filters, side of the kernel, stride, padding


@dataclass(frozen=True)
class Builder:
    """A kind of architecture: the settings it uses, the layers they make, and what is wrong with them."""

    uses: frozenset[str]
    convolutions: Callable[[Architecture], list[Convolution]]
    hidden: Callable[[Architecture], tuple[int, ...]] = lambda a: ()  # units of the linear layers before the last
    pooled: bool = False  # the mean over the last map goes into the linear layers
    fault: Callable[[Architecture], tuple[str, object, str] | None] = lambda a: None  # setting, found, expected


def _resnet_convolutions(a: Architecture) -> list[Convolution]:
    blocks, layers = (a.depth - 2) // 6, [(16, 3, 1, 1)]
    for stage, width in enumerate((16, 32, 64)):
        layers += [(width, 3, 2 if stage > 0 and k == 0 else 1, 1) for k in range(2 * blocks)]
    return layers


def _conv_fault(a: Architecture) -> tuple[str, object, str] | None:
    if not a.widths:
        return "widths", "none", "the filters of each convolution"
    if a.batch_norm and a.bias != "all":
        return "batch_norm", f"it with bias: {a.bias}", "bias: all, since batch norm brings biases back once it is absorbed"
    return None


BUILDERS = {
    "conv": Builder(
        frozenset({"widths", "kernel", "stride", "padding", "bias", "batch_norm"}),
        lambda a: [(width, a.kernel, a.stride, a.padding) for width in a.widths],
        fault=_conv_fault,
    ),
    "five_layer": Builder(
        frozenset({"widths", "batch_norm"}),
        lambda a: [(width, 3, 2, 1) for width in a.widths[:-1]],
        lambda a: a.widths[-1:],
        fault=lambda a: None if len(a.widths) == 4 else ("widths", list(a.widths), "4 numbers"),
    ),
    "resnet": Builder(
        frozenset({"depth"}),
        _resnet_convolutions,
        pooled=True,
        fault=lambda a: None if a.depth >= 8 and a.depth % 6 == 2 else ("depth", a.depth, "6n + 2 (8, 14, 20, ..., 56)"),
    ),
}


def feature_map(a: Architecture, height: int, width: int) -> tuple[int, int]:
    """Height and width of the last feature map for images of this size; below 1 when the images are too small."""
    for _, kernel, stride, padding in BUILDERS[a.builder].convolutions(a):
        height, width = ((side + 2 * padding - kernel) // stride + 1 for side in (height, width))
    return height, width


def multiply_adds(a: Architecture, channels: int, side: int, classes: int = 10) -> int:
    """Multiplications of one square image's forward pass."""
    builder, total = BUILDERS[a.builder], 0
    for width, kernel, stride, padding in builder.convolutions(a):
        side = (side + 2 * padding - kernel) // stride + 1
        total += kernel**2 * channels * width * side**2
        channels = width
    features = channels if builder.pooled else channels * side**2
    for width in (*builder.hidden(a), classes):
        total += features * width
        features = width
    return total
