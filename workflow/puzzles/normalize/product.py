"""rho, what outputs are divided by: the product of the layers' norms (Eq. 1), or the norm of an output (App. H)."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.utils import parametrize

from puzzles.base.errors import NormalizationError
from puzzles.normalize import homogeneity
from puzzles.normalize.copies import ExampleInput, as_run, clean_copy, exact_inputs, run, unwrapped
from puzzles.normalize.folding import folded_network
from puzzles.normalize.layers import NORMS, as_matrix, folded, in_float64, matrix_norm

Norm = Literal["l2", "l1", "linf", "spectral", "output"]
Biases = Literal["first", "ignore"]


@dataclass(frozen=True)
class _Layer:
    name: str
    batch_norm: str | None
    counts_bias: bool


class Normalizer:
    """What to divide the outputs of a network by, found and tested once, then computed in a moment after each epoch.

    The layers, their order, and what batch norm is folded into them are seen in a forward pass; that scaling a single layer
    scales the output is tried. Both take a few forward passes for each layer, in float64 on the CPU.

    Args:
        model: any network; it stays as it is.
        example_input: a few examples, as for ``fold_batchnorm``.
        norm: ``l2``, Frobenius; ``l1``, sum of absolute values / 100 (Fig. 9); ``linf``, largest absolute value;
            ``spectral``, largest singular value of the kernel reshaped to [out, in k k]; or ``output``, for networks that a
            product of norms means nothing for: ||f(x0)||_2 with x0 the first of the examples (App. H).
        biases: ``first``: the bias of the first layer counts as one more column of its weights, later ones are refused.
            ``ignore``: the weights alone count, whatever biases there are, as the paper does where batch norm was folded.

    Raises:
        NormalizationError: the division means nothing, or an argument is wrong; one line that names the module.

    >>> import torch
    >>> from torch import nn
    >>> import puzzles
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2, bias=False))
    >>> normalizer = puzzles.Normalizer(model, torch.randn(8, 2))
    >>> before = normalizer(model)
    >>> with torch.no_grad():
    ...     _ = model[2].weight.mul_(3)
    >>> round(normalizer(model) / before, 6)
    3.0
    """

    def __init__(
        self, model: nn.Module, example_input: ExampleInput, *, norm: Norm = "l2", biases: Biases = "first"
    ) -> None:
        if norm not in (*NORMS, "output"):
            raise NormalizationError(f"norm: found {norm!r}, expected one of {', '.join((*NORMS, 'output'))}")
        if biases not in ("first", "ignore"):
            raise NormalizationError(f"biases: found {biases!r}, expected 'first' or 'ignore'")
        self.norm = norm
        self._layers: tuple[_Layer, ...] = ()
        if norm == "output":
            self._example = _first_example(example_input)
            output_norm(model, self._example)
            return
        network = folded_network(model, example_input)
        names = homogeneity.counted_layers(network)
        homogeneity.check_scaling(network, names)
        if biases == "first":
            homogeneity.check_biases(network, names)
        self._layers = tuple(
            _Layer(name, network.folds.get(name), biases == "first" and k == 0) for k, name in enumerate(names)
        )

    def layer_norms(self, model: nn.Module) -> dict[str, float]:
        """The norm of each layer by its name, in the order of computation; nan where a weight is not finite."""
        model = unwrapped(model)
        with torch.no_grad():
            return {layer.name: float(matrix_norm(_matrix(model, layer), self.norm)) for layer in self._layers}

    def matrices(self, model: nn.Module) -> list[torch.Tensor]:
        """Each counted layer's weights as they are now, in the order of computation: float64, [out, in k k]."""
        model = unwrapped(model)
        with torch.no_grad():
            return [_matrix(model, layer) for layer in self._layers]

    def __call__(self, model: nn.Module) -> float:
        """rho of the model's weights as they are now; nan if it has diverged."""
        if self.norm == "output":
            return output_norm(model, self._example)
        rho = math.prod(self.layer_norms(model).values())
        return (
            rho if math.isfinite(rho) else math.nan
        )  # divided by infinity every output would be 0, as if it had learnt nothing


def layer_norms(
    model: nn.Module, example_input: ExampleInput, *, norm: Norm = "l2", biases: Biases = "first"
) -> dict[str, float]:
    """The norm of each layer by its name, in the order of computation; batch norm is folded first (see ``Normalizer``).

    Raises:
        NormalizationError: see ``Normalizer``.

    >>> import torch
    >>> from torch import nn
    >>> import puzzles
    >>> model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1, bias=False))
    >>> with torch.no_grad():
    ...     for parameter in model.parameters():
    ...         _ = parameter.fill_(2.0)
    >>> {name: round(value, 4) for name, value in puzzles.layer_norms(model, torch.ones(1, 2)).items()}
    {'0': 4.899, '2': 2.8284}
    """
    if norm == "output":
        raise NormalizationError("norm: found 'output', which is not a norm of layers; expected " + ", ".join(NORMS))
    return Normalizer(model, example_input, norm=norm, biases=biases).layer_norms(model)


def norm_product(model: nn.Module, example_input: ExampleInput, *, norm: Norm = "l2", biases: Biases = "first") -> float:
    """rho, the product of the layers' norms: f / rho is the network whose every layer has norm 1 (Eq. 1).

    Raises:
        NormalizationError: see ``Normalizer``.

    >>> import torch
    >>> from torch import nn
    >>> import puzzles
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Linear(2, 8, bias=False), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    >>> x = torch.randn(4, 2)
    >>> puzzles.norm_product(model, x)
    Traceback (most recent call last):
    puzzles.base.errors.NormalizationError: Linear '2' has a bias and is not the first layer, ...
    >>> puzzles.norm_product(model, x, biases="ignore") > 1
    True
    """
    if norm == "output":
        return Normalizer(model, example_input, norm=norm)(model)
    return math.prod(layer_norms(model, example_input, norm=norm, biases=biases).values())


def output_norm(model: nn.Module, example_input: ExampleInput) -> float:
    """||f(x)||_2 of the logits in eval mode, mean over the examples given (App. H takes one training image).

    What is left to divide by where the product of norms means nothing: residual networks, attention, layer norm. It
    depends on the examples, so take the same ones for all networks that are compared. The forward pass has the model's own
    precision and device; the norm is float64.

    Raises:
        NormalizationError: the forward pass fails or returns no tensor.

    >>> import torch
    >>> from torch import nn
    >>> import puzzles
    >>> model = nn.Linear(2, 2, bias=False)
    >>> with torch.no_grad():
    ...     _ = model.weight.copy_(torch.eye(2))
    >>> puzzles.output_norm(model, torch.tensor([[3.0, 4.0]]))
    5.0
    """
    network = clean_copy(unwrapped(model))
    output = run(network, as_run(exact_inputs(example_input), network))
    return float(torch.linalg.vector_norm(in_float64(output).flatten(1), dim=1).mean())


def _first_example(example_input: ExampleInput) -> ExampleInput:
    """Only the first example of each tensor."""

    def first(value: object) -> object:
        return value[:1] if isinstance(value, torch.Tensor) and value.dim() else value

    args, kwargs = exact_inputs(example_input)
    return {name: first(value) for name, value in kwargs.items()} if kwargs else tuple(first(value) for value in args)


def _matrix(model: nn.Module, layer: _Layer) -> torch.Tensor:
    """A layer's weights as they are now, its batch norm folded."""
    module = _plain(model, layer.name)
    if layer.batch_norm is None:
        return as_matrix(module, module.weight, getattr(module, "bias", None) if layer.counts_bias else None)
    weight, bias = folded(module, _plain(model, layer.batch_norm))
    return as_matrix(module, weight, bias if layer.counts_bias else None)


def _plain(model: nn.Module, name: str) -> Any:
    """A layer; if parametrized a copy, because reading its weights may change what the parametrization remembers."""
    try:
        module = model.get_submodule(name)
    except AttributeError as error:
        raise NormalizationError(
            f"the model has no layer '{name}' any more: make a new Normalizer after changing it"
        ) from error
    return clean_copy(module) if parametrize.is_parametrized(module) else module
