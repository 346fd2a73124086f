"""Does dividing the output by the product of norms mean anything? Tried, layer by layer, not guessed.

It means the network whose layers are divided by their norms one by one, if scaling the weights of any single layer scales
the output. Factors are powers of two and the arithmetic is float64, so a network that is homogeneous is so to the last bits.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from puzzles.base.errors import NormalizationError
from puzzles.normalize.copies import run
from puzzles.normalize.folding import Folded
from puzzles.normalize.layers import ALTERNATIVE, COUNTED, at
from puzzles.normalize.trace import Operation, record

FACTORS = (2.0**20, 2.0**-20)  # far apart, so that what saturates or is linear near 0 only (ReLU6, tanh) shows
TOLERANCE = 1e-9
MEANINGLESS = "the product of norms means nothing for this network"
WHY = {  # kinds of modules with weights of their own that are not counted
    "MultiheadAttention": "attention multiplies its input with itself",
    "LayerNorm": "it divides by the size of its input",
    "RMSNorm": "it divides by the size of its input",
    "GroupNorm": "it divides by the size of its input",
    "InstanceNorm1d": "it divides by the size of its input",
    "InstanceNorm2d": "it divides by the size of its input",
    "InstanceNorm3d": "it divides by the size of its input",
    "LSTM": "its weights act at every time step, through sigmoid and tanh",
    "GRU": "its weights act at every time step, through sigmoid and tanh",
    "RNN": "its weights act at every time step",
    "PReLU": "the slope is a weight that acts on negative inputs only",
}


def counted_layers(folded: Folded) -> list[str]:
    """The layers with weights, in the order in which they are first computed.

    Raises:
        NormalizationError: a parameter belongs to no such layer, or a layer takes no part in the forward pass.
    """
    network = folded.network
    layers = {name: module for name, module in network.named_modules() if isinstance(module, COUNTED)}
    owned = {id(p) for module in layers.values() for p in (module.weight, getattr(module, "bias", None)) if p is not None}
    for name, parameter in network.named_parameters():
        if id(parameter) not in owned:
            raise NormalizationError(f"{MEANINGLESS}: {_foreign(network, name)}; {ALTERNATIVE}")
    for name, module in network.named_modules():
        if hasattr(module, "_packed_params"):
            raise NormalizationError(f"{type(module).__name__} '{name}' is quantized: take the norms before quantizing")
    for name, module in layers.items():
        if name not in folded.order:
            raise NormalizationError(
                f"{type(module).__name__} '{name}' is not called in the forward pass with example_input in eval mode, so it "
                f"cannot be tested: remove it from the model, or call it as a module where only its weights are used"
            )
    if not layers:
        raise NormalizationError("the model has no layer with weights (linear, convolutional, bilinear, embedding)")
    by_weight: dict[int, str] = {}  # weights that two layers share side by side are one factor of the product
    for name in folded.order:
        if name in layers:
            by_weight.setdefault(id(layers[name].weight), name)
    return list(by_weight.values())


def _foreign(network: nn.Module, parameter: str) -> str:
    """What a parameter that is not counted belongs to, and why it is not."""
    owner = parameter.rpartition(".")[0]
    module = network.get_submodule(owner)
    for kind in type(module).__mro__:
        if kind.__name__ in WHY:
            return f"{type(module).__name__} '{owner}' has weights that are not counted ({WHY[kind.__name__]})"
    return (
        f"parameter '{parameter}' of {type(module).__name__} belongs to no layer that is counted "
        f"(linear, convolutional, bilinear, embedding)"
    )


def check_scaling(folded: Folded, layers: list[str]) -> None:
    """Scale the weights of each single layer, and the biases that come after them, and see whether the output scales.

    A bias is added to what all layers up to its own have made, so it is scaled with each of them: then the network is the
    same in other units. Without biases only the weights are scaled.

    Raises:
        NormalizationError: it does not; the message names the layer, and what is in the way.
    """
    network, inputs = folded.network, folded.inputs
    output = run(network, inputs)
    if not output.any():
        raise NormalizationError("every output for example_input is 0: the network is dead, and nothing can be tested on it")
    for k, name in enumerate(layers):
        biases = [bias for later in layers[k:] if (bias := _bias(network, later)) is not None]
        weight = at(network, name).weight
        for factor in FACTORS:
            with _scaled([weight, *biases], factor):
                scaled = run(network, inputs)
            if not _equal(scaled, factor * output):
                raise NormalizationError(_explanation(folded, name, [weight, *biases], factor, output, scaled))
        with _scaled([weight] if biases else [], FACTORS[0]):
            unmoved = bool(biases) and torch.equal(run(network, inputs), output)
        if unmoved:
            raise NormalizationError(
                f"{_kind(network, name)} has no effect on the output for example_input: its signal is dead, or unused"
            )


def check_biases(folded: Folded, layers: list[str]) -> None:
    """Refuse biases after the first layer: f / rho is then not the network whose layers are divided by their norms.

    Raises:
        NormalizationError: there is one; the message names its layer.
    """
    for name in layers[1:]:
        if _bias(folded.network, name) is not None:
            origin = f" (from '{folded.folds[name]}', once folded)" if name in folded.folds else ""
            raise NormalizationError(
                f"{_kind(folded.network, name)} has a bias{origin} and is not the first layer, so a product of norms that "
                f"counts it would not scale with the output: pass biases='ignore' to divide by the product of the weights' "
                f"norms only, as the paper does"
            )


def _kind(network: nn.Module, name: str) -> str:
    return f"{type(network.get_submodule(name)).__name__} '{name}'"


def _bias(network: nn.Module, name: str) -> torch.Tensor | None:
    return getattr(network.get_submodule(name), "bias", None)


@contextmanager
def _scaled(tensors: list[torch.Tensor], factor: float) -> Iterator[None]:
    """Multiply by a power of two inside the block: undone exactly. A tensor that stands twice is multiplied once."""
    distinct = list({id(tensor): tensor for tensor in tensors}.values())
    with torch.no_grad():
        for tensor in distinct:
            tensor.mul_(factor)
        try:
            yield
        finally:
            for tensor in distinct:
                tensor.mul_(1 / factor)


def _equal(found: torch.Tensor, expected: torch.Tensor) -> bool:
    return found.shape == expected.shape and float((found - expected).abs().max()) <= TOLERANCE * float(expected.abs().max())


def _explanation(
    folded: Folded, layer: str, tensors: list[torch.Tensor], factor: float, output: torch.Tensor, scaled: torch.Tensor
) -> str:
    network = folded.network
    before = record(network, folded.inputs, keep_values=True)
    with _scaled(tensors, factor):
        after = record(network, folded.inputs, keep_values=True)
    ratio = float(torch.linalg.vector_norm(scaled) / torch.linalg.vector_norm(output))
    on_the_whole = " on the whole, but not each part of it" if f"{ratio:.3g}" == f"{factor:.3g}" else ""
    what = f"{MEANINGLESS}: scaling {_kind(network, layer)} by {factor:.3g} scales the output by {ratio:.3g}{on_the_whole}"
    where, reason = _first_break(network, before.operations, after.operations, factor)
    if where == layer and before.times(layer) > 1:
        reason = f"it is used {before.times(layer)} times, so its weights count more than once"
    elif where != layer and getattr(network.get_submodule(where), "weight", None) is at(network, layer).weight:
        reason = f"its weights are shared with '{where}', so they count more than once"
    elif not reason:
        unmoved = torch.equal(scaled, output)
        reason = "the output does not depend on their scale" if unmoved else "the forward pass takes another way then"
    return f"{what}, because {reason}; {ALTERNATIVE}"


def _first_break(network: nn.Module, before: list[Operation], after: list[Operation], factor: float) -> tuple[str, str]:
    """The first operation whose result is neither scaled nor as it was; else the first that removes the scale.

    Returns:
        Its module, and what it does, in words; empty if there is none.
    """
    removes = ("", "")
    for a, b in zip(before, after, strict=False):
        if a.name != b.name or len(a.inputs) != len(b.inputs) or len(a.outputs) != len(b.outputs):
            break
        results = {_state(x, y, factor) for x, y in zip(a.outputs, b.outputs, strict=True)} - {"any"}
        given = {_state(x, y, factor) for x, y in zip(a.inputs, b.inputs, strict=True)} - {"any"}
        where = _where(network, a)
        if "other" in results and "other" not in given:
            if given == {"scaled", "same"} and not _weights_alone(network, a):
                return a.module, f"{where} joins what depends on this layer with what does not"
            return a.module, f"the output of {where} does not scale with its input"
        if results == {"same"} and "scaled" in given and not removes[1] and not a.name.endswith("_like"):
            removes = a.module, f"{where} removes the scale of its input"
    return removes


def _weights_alone(network: nn.Module, operation: Operation) -> bool:
    """Whether all that an operation is given besides one input may be the weights of a module without submodules."""
    return bool(operation.module) and not list(network.get_submodule(operation.module).children())


def _where(network: nn.Module, operation: Operation) -> str:
    module = network.get_submodule(operation.module)
    kind = f"{type(module).__name__} '{operation.module}'" if operation.module else type(module).__name__
    return kind if _weights_alone(network, operation) else f"'{operation.name}' in {kind}"


def _state(before: torch.Tensor, after: torch.Tensor, factor: float) -> str:
    """How a tensor differs between the two passes: ``any`` says nothing (zeros, whole numbers)."""
    if not before.is_floating_point() or before.shape != after.shape or not before.any():
        return "any" if before.shape == after.shape else "other"
    finite = before.isfinite()
    if not finite.all():
        before, after = before[finite], after[finite]
    if _equal(after, factor * before):
        return "scaled"
    return "same" if _equal(after, before) else "other"
