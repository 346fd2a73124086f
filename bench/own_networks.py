"""Small networks of the usual kinds, beside torchvision's, for the page docs/architectures.md."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.utils import parametrizations

CLASSES = 10


class Of(nn.Module):
    """Named modules, and a function of them and the input."""

    def __init__(self, function: Callable, **modules: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Whatever the function makes of it."""
        return self.function(self, x)


class Residual(nn.Module):
    """x + f(x)."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.inner = nn.Sequential(*parts)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The shape stays."""
        return x + self.inner(x)


class Maxout(nn.Module):
    """The larger of two linear maps."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.both = nn.Linear(inputs, 2 * outputs, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, inputs] to [N, outputs]."""
        return torch.maximum(*self.both(x).chunk(2, dim=1))


class SqueezeExcite(nn.Module):
    """Channels weighted by a sigmoid of their means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Linear(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W], the same shape."""
        return x * torch.sigmoid(self.gate(x.mean((2, 3))))[:, :, None, None]


def conv(*parts: nn.Module, bias: bool = False, last_bias: bool = False) -> nn.Sequential:
    """A convolution, what is between, another one, the mean over positions, a linear layer; images of 16 x 16."""
    last = nn.Linear(16, CLASSES, bias=last_bias)
    second = nn.Conv2d(8, 16, 3, bias=bias)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=bias), *parts, second, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), last
    )


def mlp(*between: nn.Module, bias: bool = False) -> nn.Sequential:
    """Two linear layers and what is between."""
    return nn.Sequential(nn.Linear(32, 64, bias=bias), *between, nn.Linear(64, CLASSES, bias=bias))


def flat(layer: nn.Module, features: int) -> nn.Sequential:
    """A layer, and a linear layer on all that it computes."""
    return nn.Sequential(layer, nn.ReLU(), nn.Flatten(), nn.Linear(features, CLASSES, bias=False))


def out_of_order() -> nn.Module:
    """The batch norm is registered before the layer that it follows."""
    parts = {"last": nn.Linear(8 * 196, CLASSES), "norm": nn.BatchNorm2d(8), "first": nn.Conv2d(3, 8, 3)}
    return Of(lambda m, x: m.last(torch.relu(m.norm(m.first(x))).flatten(1)), **parts)


def shared() -> nn.Module:
    """One layer, three times."""
    parts = {"first": nn.Linear(32, 64, bias=False), "again": nn.Linear(64, 64, bias=False)}
    parts["last"] = nn.Linear(64, CLASSES, bias=False)
    return Of(lambda m, x: m.last(m.again(torch.relu(m.again(torch.relu(m.again(m.first(x))))))), **parts)


def recurrent(kind: type[nn.Module]) -> nn.Module:
    """The last state of a recurrent layer, and a linear layer; sequences [N, time, 8]."""
    return Of(
        lambda m, x: m.last(m.recurrent(x)[0][:, -1]), recurrent=kind(8, 16, batch_first=True), last=nn.Linear(16, CLASSES)
    )


def transformer() -> nn.Module:
    """One encoder layer, and the mean over positions; sequences [N, time, 8]."""
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    return Of(lambda m, x: m.last(m.encoder(x).mean(1)), encoder=encoder, last=nn.Linear(8, CLASSES))


def mixer() -> nn.Module:
    """A block of an MLP-mixer, without its layer norm; sequences [N, 6, 8]."""
    tokens = Residual(nn.Linear(6, 12), nn.GELU(), nn.Linear(12, 6))
    function = lambda m, x: m.last(m.channels(m.tokens(x.transpose(1, 2)).transpose(1, 2)).mean(1))  # noqa: E731
    channels = Residual(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
    return Of(function, tokens=tokens, channels=channels, last=nn.Linear(8, CLASSES))


def two_towers() -> nn.Module:
    """Two branches whose results are multiplied."""
    parts = {name: nn.Linear(32, 64, bias=False) for name in ("left", "right")}
    return Of(lambda m, x: m.last(m.left(x).relu() * m.right(x).relu()), **parts, last=nn.Linear(64, CLASSES, bias=False))


def words() -> nn.Module:
    """Means of word vectors, and two linear layers; indices [N, time]."""
    layers = {"words": nn.EmbeddingBag(50, 32), "rest": mlp(nn.ReLU())}
    return Of(lambda m, x: m.rest(m.words(x)), **layers)


IMAGE, ROW, SEQUENCE, INDICES = (3, 16, 16), (32,), (6, 8), (6,)
OWN: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "fully connected, no biases": (lambda: mlp(nn.ReLU()), ROW),
    "fully connected, biases everywhere": (lambda: mlp(nn.ReLU(), bias=True), ROW),
    "dropout": (lambda: mlp(nn.ReLU(), nn.Dropout()), ROW),
    "leaky ReLU": (lambda: mlp(nn.LeakyReLU(0.1)), ROW),
    "PReLU": (lambda: mlp(nn.PReLU()), ROW),
    "GELU": (lambda: mlp(nn.GELU()), ROW),
    "tanh": (lambda: mlp(nn.Tanh()), ROW),
    "ReLU6": (lambda: mlp(nn.ReLU6()), ROW),
    "maxout": (lambda: nn.Sequential(Maxout(32, 64), nn.Linear(64, CLASSES, bias=False)), ROW),
    "layer norm": (lambda: mlp(nn.LayerNorm(64), nn.ReLU()), ROW),
    "weight_norm": (lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(32, 64)), *mlp(nn.ReLU())[1:]), ROW),
    "spectral_norm": (lambda: nn.Sequential(parametrizations.spectral_norm(nn.Linear(32, 64)), *mlp(nn.ReLU())[1:]), ROW),
    "one layer used three times": (shared, ROW),
    "product of two branches": (two_towers, ROW),
    "residual, without batch norm": (
        lambda: nn.Sequential(Residual(nn.Linear(32, 32, bias=False), nn.ReLU()), nn.Linear(32, CLASSES)), ROW,
    ),
    "all-convolutional, global mean": (lambda: conv(nn.ReLU()), IMAGE),
    "all-convolutional, biases everywhere": (lambda: conv(nn.ReLU(), bias=True, last_bias=True), IMAGE),
    "batch norm before ReLU": (lambda: conv(nn.BatchNorm2d(8), nn.ReLU()), IMAGE),
    "batch norm after ReLU": (lambda: conv(nn.ReLU(), nn.BatchNorm2d(8)), IMAGE),
    "batch norm first of all": (lambda: nn.Sequential(nn.BatchNorm2d(3), *conv(nn.ReLU())), IMAGE),
    "batch norm, registered out of order": (out_of_order, IMAGE),
    "depthwise and pointwise": (
        lambda: conv(nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8, bias=False), nn.Conv2d(8, 8, 1, bias=False)), IMAGE,
    ),
    "group norm": (lambda: conv(nn.GroupNorm(2, 8), nn.ReLU()), IMAGE),
    "local response norm": (lambda: conv(nn.ReLU(), nn.LocalResponseNorm(2)), IMAGE),
    "squeeze and excitation": (lambda: conv(nn.ReLU(), SqueezeExcite(8)), IMAGE),
    "transposed convolution": (lambda: conv(nn.ReLU(), nn.ConvTranspose2d(8, 8, 2, bias=False), nn.ReLU()), IMAGE),
    "Conv1d": (lambda: flat(nn.Conv1d(6, 8, 3), 48), SEQUENCE),
    "Conv3d": (lambda: nn.Sequential(nn.Unflatten(1, (1, 3)), *flat(nn.Conv3d(1, 4, 3), 784)), IMAGE),
    "words, embedded and averaged": (words, INDICES),
    "LSTM": (lambda: recurrent(nn.LSTM), SEQUENCE),
    "GRU": (lambda: recurrent(nn.GRU), SEQUENCE),
    "transformer block": (transformer, SEQUENCE),
    "MLP-mixer block": (mixer, SEQUENCE),
}  # fmt: skip
