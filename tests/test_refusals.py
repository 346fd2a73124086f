"""What the library refuses: one line that names the module, the reason and what else to do."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils import prune, spectral_norm

import puzzles

IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
ROWS = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))


def mlp(*between: nn.Module, bias: bool = False) -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 8), *between, nn.Linear(8, 3, bias=bias))


class Functional(nn.Module):
    """Linear layers, and between them whatever a function does."""

    def __init__(self, function: Callable[[nn.Module, torch.Tensor], torch.Tensor], **modules: nn.Module) -> None:
        super().__init__()
        self.first, self.last, self.function = nn.Linear(8, 8, bias=False), nn.Linear(8, 3, bias=False), function
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.function(self, torch.relu(self.first(x))))


class Standardized(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, self.weight / self.weight.norm(), self.bias)


def conv(*parts: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), *parts, nn.Flatten(), nn.Linear(4 * 36, 10))


def tied() -> nn.Module:
    model = Functional(lambda m, x: m.middle(x), middle=nn.Linear(8, 8, bias=False))
    model.middle.weight = model.first.weight
    return model


def dead() -> nn.Module:
    model = mlp(nn.ReLU())
    model[0].bias.data.fill_(-1e3)
    return model


def dead_with_bias() -> nn.Module:
    model = mlp(nn.ReLU(), bias=True)
    model[0].bias.data.fill_(-1e3)
    return model


def infinite() -> nn.Module:
    model = mlp(nn.ReLU())
    model[0].weight.data[0, 0] = torch.inf
    return model


def pruned() -> nn.Module:
    model = mlp(nn.ReLU())
    prune.l1_unstructured(model[0], "weight", 0.5)
    return model


def shared_norm() -> nn.Module:
    norm = nn.BatchNorm1d(8)
    return nn.Sequential(nn.Linear(8, 8), norm, nn.ReLU(), nn.Linear(8, 8), norm, nn.ReLU(), nn.Linear(8, 3))


OUTPUT = "alternative: divide by the norm of the output"
SHORTCUT = Functional(lambda m, x: x + m.middle(x), middle=nn.Linear(8, 8, bias=False))
TWICE = Functional(lambda m, x: m.middle(torch.relu(m.middle(x))), middle=nn.Linear(8, 8, bias=False))
UNUSED = Functional(lambda m, x: x, middle=nn.Linear(8, 8, bias=False))
CANCELLED = Functional(lambda m, x: x + 0 * m.middle(x), middle=nn.Linear(8, 8, bias=False))
VIEWED = Functional(lambda m, x: m.norm(relu_through_a_view(m.middle(x))), middle=nn.Linear(8, 8), norm=nn.BatchNorm1d(8))
READ_TWICE = Functional(lambda m, x: m.norm(y := m.middle(x)) + y, middle=nn.Linear(8, 8), norm=nn.BatchNorm1d(8))


def relu_through_a_view(x: torch.Tensor) -> torch.Tensor:
    x.view(-1).relu_()
    return x


CASES = {
    "batch norm after ReLU": (conv(nn.ReLU(), nn.BatchNorm2d(4)), "BatchNorm2d '2'", "it follows ReLU '1'", OUTPUT),
    "after ReLU in place": (conv(nn.ReLU(inplace=True), nn.BatchNorm2d(4)), "BatchNorm2d '2'", "follows ReLU '1'", OUTPUT),
    "after ReLU in a view": (VIEWED, "BatchNorm1d 'norm'", "cannot be folded", OUTPUT),
    "first of all": (nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 3)), "BatchNorm1d '0'", "the network's input", OUTPUT),
    "after pooling": (conv(nn.MaxPool2d(1), nn.BatchNorm2d(4)), "BatchNorm2d '2'", "MaxPool2d '1'", OUTPUT),
    "batch statistics": (mlp(nn.BatchNorm1d(8, track_running_stats=False)), "BatchNorm1d '1'", "no running", OUTPUT),
    "one batch norm for two layers": (shared_norm(), "BatchNorm1d '1'", "used 2 times", OUTPUT),
    "output read elsewhere too": (READ_TWICE, "BatchNorm1d 'norm'", "Linear 'middle' before it is used elsewhere", OUTPUT),
    "transposed in groups": (
        nn.Sequential(nn.ConvTranspose1d(4, 4, 3, groups=2), nn.BatchNorm1d(4)),
        "BatchNorm1d '1'", "ConvTranspose1d '0'", "groups",
    ),
    "shortcut": (SHORTCUT, "Linear 'middle'", "'add' in Functional joins", OUTPUT),
    "GELU": (mlp(nn.GELU()), "Linear '0'", "GELU '1' does not scale with its input", OUTPUT),
    "sigmoid": (mlp(nn.Sigmoid()), "Linear '0'", "Sigmoid '1'", OUTPUT),
    "ReLU6 far below 6": (mlp(nn.ReLU6()), "Linear '0'", "ReLU6 '1'", OUTPUT),
    "softplus": (mlp(nn.Softplus()), "Linear '0'", "Softplus '1'", OUTPUT),
    "layer norm": (mlp(nn.LayerNorm(8)), "LayerNorm '1'", "divides by the size of its input", OUTPUT),
    "without weights": (mlp(nn.LayerNorm(8, elementwise_affine=False)), "Linear '0'", "LayerNorm '1'", OUTPUT),
    "group norm": (conv(nn.GroupNorm(2, 4)), "GroupNorm '1'", "divides by the size of its input", OUTPUT),
    "L2-normalized features": (Functional(lambda m, x: x / x.norm()), "'first'", "removes the scale of its input", OUTPUT),
    "attention": (
        Functional(lambda m, x: m.a(x, x, x)[0], a=nn.MultiheadAttention(8, 2)),
        "MultiheadAttention 'a'", "attention", OUTPUT,
    ),
    "LSTM": (Functional(lambda m, x: m.r(x)[0], r=nn.LSTM(8, 8)), "LSTM 'r'", "every time step", OUTPUT),
    "PReLU": (mlp(nn.PReLU()), "PReLU '1'", "weight", OUTPUT),
    "own parameter": (
        Functional(lambda m, x: x * m.scales.gain, scales=nn.ParameterDict({"gain": nn.Parameter(torch.ones(8))})),
        "parameter 'scales.gain'", "belongs to no layer that is counted", OUTPUT,
    ),
    "used twice": (TWICE, "Linear 'middle'", "it is used 2 times", OUTPUT),
    "tied weights": (tied(), "Linear 'first'", "shared with 'middle'", OUTPUT),
    "standardized weights": (nn.Sequential(Standardized(8, 3)), "Standardized '0'", "scales the output by", OUTPUT),
    "never called": (UNUSED, "Linear 'middle'", "not called in the forward pass", "remove it"),
    "no effect": (CANCELLED, "Linear 'middle'", "does not depend on their scale", OUTPUT),
    "pruned": (pruned(), "'0.weight' is computed from other tensors", "prune.remove", ""),
    "bias in a deeper layer": (mlp(nn.ReLU(), bias=True), "Linear '2' has a bias", "not the first", "biases='ignore'"),
    "bias from batch norm": (
        nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3, bias=False), nn.BatchNorm1d(3)),
        "Linear '2' has a bias", "from '3', once folded", "biases='ignore'",
    ),
    "dead": (dead(), "every output", "is 0", "dead"),
    "not finite": (infinite(), "not finite", "'0.weight'", ""),
    "random in eval mode": (Functional(lambda m, x: nn.functional.dropout(x)), "random numbers", "eval mode", ""),
    "no layers": (nn.ReLU(), "no layer with weights", "", ""),
    "not initialized": (nn.Sequential(nn.LazyLinear(3)), "'0.weight'", "no shape yet", "run one batch"),
    "two results": (nn.LSTM(8, 3), "returns tuple", "expected a tensor", "wrap"),
    "fails": (nn.Linear(7, 3), "fails on example_input", "RuntimeError", ""),
    "TorchScript": (torch.jit.trace(mlp(nn.ReLU()), ROWS), "TorchScript", "cannot be traced", "that it was made from"),
    "without values": (mlp(nn.ReLU()).to("meta"), "'0.weight'", "'meta'", "expected weights"),
    "older spectral_norm": (nn.Sequential(spectral_norm(nn.Linear(8, 3))), "'0.weight' is computed", "parametrizations", ""),
    "weights without their module": (
        Functional(lambda m, x: nn.functional.linear(x, m.middle.weight), middle=nn.Linear(8, 8, bias=False)),
        "Linear 'middle'", "is not called", "call it as a module",
    ),
    "not a module": (print, "expected a torch.nn.Module", "builtin_function", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_error_names_what_is_in_the_way(name: str) -> None:
    model, *words = CASES[name]
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None) if isinstance(model, nn.Module) else None
    example = IMAGES if first is not None else torch.randn(4, 4, 5) if name == "transposed in groups" else ROWS
    with pytest.raises(puzzles.NormalizationError) as error:
        puzzles.norm_product(model, example)
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


def test_an_effect_that_biases_hide() -> None:
    """The last layer's bias alone makes the output: scaled with it, the output would scale whatever the weights."""
    with pytest.raises(puzzles.NormalizationError, match=r"Linear '.' has no effect on the output"):
        puzzles.norm_product(dead_with_bias(), ROWS, biases="ignore")


def test_batch_norm_on_another_dimension_is_noticed() -> None:
    """As many features as positions: only the outputs tell."""

    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.norm, self.last = nn.Linear(8, 4), nn.BatchNorm1d(4), nn.Linear(16, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.norm(self.layer(x.view(-1, 4, 8))).flatten(1))

    with pytest.raises(puzzles.NormalizationError, match=r"outputs of shape \[2, 4, 4\], expected \[N, features\]"):
        puzzles.fold_batchnorm(Turned(), torch.randn(8, 8))


def test_what_is_no_fault_is_not_refused() -> None:
    """Leaky ReLU, max pooling, maxout, products of branches, layers used side by side: they scale."""
    maxout = Functional(lambda m, x: torch.maximum(x[:, :4], x[:, 4:]).repeat(1, 2))
    siamese = Functional(lambda m, x: m.middle(x) + m.middle(x.flip(1)), middle=nn.Linear(8, 8, bias=False))
    branches = Functional(
        lambda m, x: x * torch.relu(m.other(ROWS.double() if x.dtype == torch.float64 else ROWS)),
        other=nn.Linear(8, 8, bias=False),
    )
    for model in (mlp(nn.LeakyReLU()), mlp(nn.Dropout(), nn.ReLU()), maxout, siamese, branches):
        assert puzzles.norm_product(model, ROWS) > 0
    assert puzzles.norm_product(mlp(nn.Identity(), nn.ReLU(), bias=True), ROWS, biases="ignore") > 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: puzzles.norm_product(m, ROWS, norm="l3"), "norm: found 'l3', expected one of l2"),
        (lambda m: puzzles.norm_product(m, ROWS, biases=True), "biases: found True, expected 'first' or 'ignore'"),
        (lambda m: puzzles.layer_norms(m, ROWS, norm="output"), "norm: found 'output'"),
        (lambda m: puzzles.norm_product(m, [1.0]), "example_input: found list"),
        (lambda m: puzzles.norm_product(m, ROWS[:0]), "example_input"),
        (lambda m: puzzles.norm_product(m, ROWS * torch.nan), "example_input: found values that are not finite"),
    ],
)
def test_arguments(call: Callable, words: str) -> None:
    with pytest.raises(puzzles.NormalizationError, match="^" + words):
        call(mlp(nn.ReLU()))


def test_a_layer_that_is_gone() -> None:
    model = mlp(nn.ReLU())
    normalizer = puzzles.Normalizer(model, ROWS)
    del model[2]
    with pytest.raises(puzzles.NormalizationError, match="no layer '2' any more"):
        normalizer(model)
