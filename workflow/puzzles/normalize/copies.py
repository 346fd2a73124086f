"""Work on a copy: nothing of the caller's network changes, whatever happens."""

import copy
import random
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from puzzles.base.errors import NormalizationError

HOOKS = ["_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"]
HOOKS += ["_forward_hooks_with_kwargs", "_forward_pre_hooks_with_kwargs", "_forward_hooks_always_called"]
WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)

ExampleInput = torch.Tensor | tuple[Any, ...] | Mapping[str, Any]


def unwrapped(model: nn.Module) -> nn.Module:
    """The network itself inside DistributedDataParallel, DataParallel or what torch.compile returns."""
    while isinstance(model, WRAPPERS) or hasattr(model, "_orig_mod"):
        inner: Any = model.module if isinstance(model, WRAPPERS) else model._orig_mod
        model = inner
    return model


def clean_copy(model: nn.Module) -> nn.Module:
    """A copy in eval mode without hooks, whose parametrized weights are plain ones.

    Raises:
        NormalizationError: the model cannot be copied.
    """
    if not isinstance(model, nn.Module):
        raise NormalizationError(f"model: found {type(model).__name__}, expected a torch.nn.Module")
    _check_parameters(model)
    # what the copy is given in place of the hooks: copying those would copy, and running them change, what they belong to
    without_hooks: dict[int, Any] = {}
    for module in model.modules():
        without_hooks |= {id(vars(module)[name]): OrderedDict() for name in HOOKS if name in vars(module)}
    with torch.inference_mode(False), torch.no_grad():
        try:
            copied = copy.deepcopy(model, without_hooks).eval()
            for module in list(copied.modules()):
                _make_plain(module)
        except Exception as error:
            raise NormalizationError(f"the model cannot be copied: {_line(error)}") from error
    return copied


def _make_plain(module: nn.Module) -> None:
    """Put the weights that parametrizations give in their place.

    ``remove_parametrizations`` would change the class, which a copy shares with what it is a copy of.
    """
    if not parametrize.is_parametrized(module):
        return
    parametrized: Any = module.parametrizations
    values = {name: (getattr(module, name), any(True for _ in made.parameters())) for name, made in parametrized.items()}
    module.__class__ = parametrize.type_before_parametrizations(module)
    del module._modules["parametrizations"]
    for name, (value, is_parameter) in values.items():
        if is_parameter:
            module.register_parameter(name, nn.Parameter(value.clone()))
        else:
            module.register_buffer(name, value.clone())


def exact_copy(model: nn.Module) -> nn.Module:
    """A clean copy on the CPU in float64, where powers of two scale without rounding."""
    return clean_copy(unwrapped(model)).to("cpu").double()  # in this order: Apple's MPS has no float64


def exact_inputs(example_input: ExampleInput) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The example as positional and named arguments, tensors on the CPU and floating ones in float64.

    Raises:
        NormalizationError: it is not a tensor, a tuple or a mapping with one, or a value is not finite.
    """

    def exact(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        if value.is_floating_point() and not value.isfinite().all():
            raise NormalizationError("example_input: found values that are not finite, expected a real example")
        return value.detach().cpu().double() if value.is_floating_point() else value.detach().cpu().clone()

    values = example_input if isinstance(example_input, (tuple, Mapping)) else (example_input,)
    flat = list(values.values() if isinstance(values, Mapping) else values)
    if not any(isinstance(value, torch.Tensor) and value.numel() for value in flat):
        raise NormalizationError(
            f"example_input: found {type(example_input).__name__} without a filled tensor, expected a tensor of examples "
            f"[N, ...], a tuple of positional arguments or a dict of named ones"
        )
    with torch.inference_mode(False), torch.no_grad():
        if isinstance(values, Mapping):
            return (), {name: exact(value) for name, value in values.items()}
        return tuple(exact(value) for value in values), {}


def as_run(inputs: tuple[tuple[Any, ...], dict[str, Any]], model: nn.Module) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The same inputs with the precision and on the device of a model's parameters."""
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(()))

    def as_it_is(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        return value.to(like) if value.is_floating_point() else value.to(like.device)

    args, kwargs = inputs
    return tuple(as_it_is(value) for value in args), {name: as_it_is(value) for name, value in kwargs.items()}


def run(model: nn.Module, inputs: tuple[tuple[Any, ...], dict[str, Any]], seed: int = 0) -> torch.Tensor:
    """The output of a clean copy, a tensor; the caller's random numbers and modes stay as they are.

    Raises:
        NormalizationError: the forward pass fails, or returns something else than a tensor.
    """
    args, kwargs = copy.deepcopy(inputs)  # the network may change them in place
    try:
        with _undisturbed(seed):
            output = model(*args, **kwargs)
    except NormalizationError:
        raise
    except Exception as error:
        how = "" if next(model.parameters(), torch.zeros(())).dtype != torch.float64 else ", on the CPU and in float64"
        raise NormalizationError(f"the model fails on example_input, in eval mode{how}: {_line(error)}") from error
    if not isinstance(output, torch.Tensor):
        raise NormalizationError(
            f"the model returns {type(output).__name__}, expected a tensor of logits: wrap it in a module that returns them"
        )
    return output


@contextmanager
def _undisturbed(seed: int) -> Iterator[None]:
    """Gradients, inference mode, autocast, the default device and random numbers: as the copy needs them, then restored."""
    drawn = random.getstate()
    with (
        torch.inference_mode(False),
        torch.no_grad(),
        torch.autocast("cpu", enabled=False),
        torch.device("cpu"),
        torch.random.fork_rng(devices=[]),
    ):
        torch.default_generator.manual_seed(seed)
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(drawn)


def _check_parameters(model: nn.Module) -> None:
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if isinstance(tensor, (nn.UninitializedParameter, nn.UninitializedBuffer)):
            raise NormalizationError(f"'{name}' has no shape yet: run one batch through the model first")
        if hasattr(tensor, "full_tensor"):
            raise NormalizationError(f"'{name}' is spread over processes (DTensor): gather the weights first")
        if tensor.is_meta:
            raise NormalizationError(f"'{name}' is on the device 'meta', without values: expected weights")
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            what = f"found a TorchScript module{f' at {name!r}' if name else ''}"
            raise NormalizationError(f"{what}, which cannot be traced: pass the module that it was made from")
        for attribute, value in vars(module).items():
            names = {f"{attribute}{ending}" for ending in ("_orig", "_g")}
            if isinstance(value, torch.Tensor) and (value.grad_fn is not None or names & set(module._parameters)):
                raise NormalizationError(
                    f"'{name}.{attribute}' is computed from other tensors before each forward pass (pruning, or the older "
                    f"weight_norm and spectral_norm): make it permanent (prune.remove) or use nn.utils.parametrizations"
                )


def _line(error: Exception) -> str:
    """An error in one line, without the pages that torch may add."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
