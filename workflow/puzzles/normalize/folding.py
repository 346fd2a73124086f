"""Batch norm, folded into the layer that precedes it in the computation."""

from dataclasses import dataclass

import torch
from torch import nn

from puzzles.base.errors import NormalizationError
from puzzles.normalize.copies import ExampleInput, clean_copy, exact_copy, exact_inputs, run, unwrapped
from puzzles.normalize.layers import ALTERNATIVE, BATCH_NORMS, FOLDABLE, TRANSPOSED, at, fold
from puzzles.normalize.trace import Trace, record

AGREEMENT = 1e-9  # of float64 outputs before and after, relative to the largest


@dataclass(frozen=True)
class Folded:
    """A network in float64 without its batch norm."""

    network: nn.Module
    inputs: tuple[tuple, dict]
    folds: dict[str, str]  # from a layer to the batch norm that follows it
    order: list[str]  # the modules that were called, by their first call


def fold_batchnorm(model: nn.Module, example_input: ExampleInput) -> nn.Module:
    """A copy without batch norm that computes the same in eval mode.

    Each batch-norm layer is folded into the linear or convolutional layer whose output it receives, with its running
    statistics, in float64: W' = gamma W / sqrt(var + eps), b' = beta + gamma (b - mu) / sqrt(var + eps). Which layer that is
    is seen in a forward pass with ``example_input``; afterwards both networks are run on it and have to agree.

    Args:
        model: any network; it stays as it is.
        example_input: a few examples [N, C, H, W] (or whatever the network takes; a tuple of positional arguments, a dict of
            named ones).

    Returns:
        A copy in eval mode, without forward hooks, with the weights' own precision and device.

    Raises:
        NormalizationError: what precedes a batch norm is not a layer it can be folded into; the message names both.

    >>> import torch
    >>> from torch import nn
    >>> import puzzles
    >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10))
    >>> images = torch.rand(4, 3, 8, 8)
    >>> plain = puzzles.fold_batchnorm(model, images)
    >>> [type(layer).__name__ for layer in plain]
    ['Conv2d', 'Identity', 'ReLU', 'Flatten', 'Linear']
    >>> torch.allclose(plain(images), model.eval()(images), atol=1e-5)
    True
    """
    folds = folded_network(model, example_input).folds
    copied = clean_copy(unwrapped(model))
    fold_all(copied, folds)
    return copied


def folded_network(model: nn.Module, example_input: ExampleInput) -> Folded:
    """A float64 copy without batch norm, after a check that it computes the same.

    Raises:
        NormalizationError: see ``fold_batchnorm``; or the output is random, or not finite.
    """
    network, inputs = exact_copy(model), exact_inputs(example_input)
    trace = record(network, inputs)
    if not trace.output.isfinite().all():
        raise NormalizationError(f"the model's output for example_input is not finite{_not_finite(network)}")
    if not torch.equal(trace.output, run(network, inputs, seed=1)):
        raise NormalizationError("two forward passes in eval mode give different outputs: the network draws random numbers")
    folds = {_layer_before(network, trace, name): name for name in _batch_norms(network)}
    fold_all(network, folds)
    after = run(network, inputs)
    difference, largest = float((after - trace.output).abs().max()), float(trace.output.abs().max())
    if not difference <= AGREEMENT * largest:
        raise NormalizationError(
            f"folding batch norm into the layers before it ({', '.join(folds)}) changes the output by {difference:.2g}, "
            f"expected the same output: batch norm and layer do not work on the same dimension"
        )
    return Folded(network, inputs, folds, trace.order())


def fold_all(network: nn.Module, folds: dict[str, str]) -> None:
    """Fold each batch norm into its layer and put the identity in its place."""
    with torch.no_grad():
        for layer, batch_norm in folds.items():
            found = network.get_submodule(batch_norm)
            fold(network.get_submodule(layer), found)
            for path in [path for path, module in network.named_modules(remove_duplicate=False) if module is found]:
                parent, _, name = path.rpartition(".")
                setattr(network.get_submodule(parent), name, nn.Identity())


def _batch_norms(network: nn.Module) -> list[str]:
    return [name for name, module in network.named_modules() if isinstance(module, BATCH_NORMS)]


def _layer_before(network: nn.Module, trace: Trace, name: str) -> str:
    """The layer that a batch norm can be folded into.

    Raises:
        NormalizationError: there is none.
    """
    reason, layer = _fault_or_layer(network, trace, name)
    if reason:
        raise NormalizationError(
            f"{type(network.get_submodule(name)).__name__} '{name}' cannot be folded into a layer: {reason}; {ALTERNATIVE}"
        )
    return layer


def _fault_or_layer(network: nn.Module, trace: Trace, name: str) -> tuple[str, str]:
    """Why a batch norm cannot be folded, or the layer that it can be folded into."""
    batch_norm = at(network, name)
    calls = [call for call in trace.calls if call.module == name]
    if not calls:
        return "it is not called in the forward pass in eval mode (remove it from the model)", ""
    if len(calls) > 1:
        return f"it is used {len(calls)} times in the forward pass, expected once", ""
    if batch_norm.running_mean is None or batch_norm.running_var is None:
        return "it has no running statistics, and so depends on the other examples of a batch", ""
    tensor = calls[0].inputs[0]
    maker = trace.made_by.get(id(tensor))
    if maker is None or maker.version != tensor._version:
        return f"it follows {_operation_before(network, trace, tensor)}, expected a linear or convolutional layer", ""
    layer = at(network, maker.module)
    before = f"{type(layer).__name__} '{maker.module}'"
    if not isinstance(layer, FOLDABLE):
        return f"it follows {before}, expected a linear or convolutional layer right before it", ""
    if trace.times(maker.module) > 1:
        return f"{before} before it is used {trace.times(maker.module)} times, expected once", ""
    if maker.consumers > 1:
        return f"the output of {before} before it is used elsewhere too", ""
    if isinstance(layer, TRANSPOSED) and layer.groups > 1:
        return f"{before} before it is a transposed convolution in groups, for which that is not implemented", ""
    if isinstance(layer, nn.Linear) and tensor.dim() != 2:
        return f"{before} before it has outputs of shape {list(tensor.shape)}, expected [N, features]", ""
    return "", maker.module


def _operation_before(network: nn.Module, trace: Trace, tensor: torch.Tensor) -> str:
    """What made a tensor, in words."""
    for operation in reversed(trace.operations):
        if any(output is tensor for output in operation.outputs):
            module = network.get_submodule(operation.module)
            return f"'{operation.name}' in {type(module).__name__} '{operation.module}'".replace(" ''", "")
    return "the network's input"


def _not_finite(network: nn.Module) -> str:
    bad = [name for name, tensor in network.state_dict().items() if not tensor.isfinite().all()]
    return f": found values that are not finite in '{bad[0]}'" if bad else ""
