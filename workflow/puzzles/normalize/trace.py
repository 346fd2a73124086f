"""Follow tensors through a real forward pass: which operation and which module computes what, from what.

Whatever the network does in Python is seen as it happens, so control flow that depends on the data, which torch.fx cannot
trace, does not matter; nor does the order in which modules were registered.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from puzzles.normalize.copies import run
from puzzles.normalize.layers import BATCH_NORMS, COUNTED

UNCHANGED = {"dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout", "contiguous"}


@dataclass
class Operation:
    """A torch function with tensors as results, and the innermost module that called it."""

    name: str
    module: str
    inputs: list[torch.Tensor]
    outputs: list[torch.Tensor]  # as they were right after it, where values are kept


@dataclass
class Call:
    """One pass through a module that is a layer of weights or has no submodules."""

    module: str
    inputs: list[torch.Tensor]
    version: int  # of the output, which an operation in place changes; -1 for what is not a tensor
    consumers: int = 0  # operations that read the output


@dataclass
class Trace:
    """What happened in a forward pass, in order."""

    output: torch.Tensor
    operations: list[Operation]
    calls: list[Call]
    made_by: dict[int, Call]  # by the identity of the tensor
    alive: list[torch.Tensor]  # every tensor there was, so that no identity is used again

    def times(self, module: str) -> int:
        """How often a module was called."""
        return sum(call.module == module for call in self.calls)

    def order(self) -> list[str]:
        """The modules that were called, by their first call."""
        return list(dict.fromkeys(call.module for call in self.calls))


def record(model: nn.Module, inputs: tuple[tuple[Any, ...], dict[str, Any]], keep_values: bool = False) -> Trace:
    """Run a copy of a network and note what it does.

    Args:
        model: an exact copy, without hooks.
        inputs: as ``exact_inputs`` gives them.
        keep_values: keep each operation's results as they were, though a later one may change them in place.
    """
    recorder = _Recorder(keep_values)
    names = {module: name for name, module in model.named_modules()}
    hooks = [module.register_forward_pre_hook(recorder.enter(name)) for module, name in names.items()]
    hooks += [module.register_forward_hook(recorder.leave(_is_noted(module)), with_kwargs=True) for module in names]
    try:
        with recorder:
            output = run(model, inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return Trace(output, recorder.operations, recorder.calls, recorder.made_by, recorder.alive)


class _Recorder(TorchFunctionMode):
    def __init__(self, keep_values: bool) -> None:
        super().__init__()
        self.keep_values = keep_values
        self.operations: list[Operation] = []
        self.calls: list[Call] = []
        self.made_by: dict[int, Call] = {}
        self.running: list[str] = []
        self.alive: list[torch.Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        inputs = list(_tensors((args, kwargs or {})))
        before = [tensor.clone() for tensor in inputs] if self.keep_values else inputs
        result = func(*args, **(kwargs or {}))
        outputs = list(_tensors(result))
        if outputs and self.running:
            self._note_makers(func.__name__, inputs, outputs)
            self.alive += [*inputs, *outputs]
            after = [tensor.clone() for tensor in outputs] if self.keep_values else outputs
            self.operations.append(Operation(func.__name__, self.running[-1], before, after))
        return result

    def _note_makers(self, name: str, inputs: list[torch.Tensor], outputs: list[torch.Tensor]) -> None:
        made = [self.made_by[id(tensor)] for tensor in inputs if id(tensor) in self.made_by]
        passed_on = name in UNCHANGED and len(made) == 1
        for tensor in outputs:
            self.made_by.pop(id(tensor), None)  # an operation in place changes what a module has made
        if passed_on:
            self.made_by[id(outputs[0])] = made[0]
        for call in () if passed_on else made:
            call.consumers += 1

    def enter(self, name: str) -> Any:
        """A hook that notes which module is running."""

        def hook(module: nn.Module, args: Any) -> None:
            self.running.append(name)

        return hook

    def leave(self, is_noted: bool) -> Any:
        """A hook that notes what a module has made, unless it has only passed on what another has."""

        def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            name = self.running.pop()
            if is_noted:
                made = isinstance(output, torch.Tensor)
                call = Call(name, list(_tensors((args, kwargs))), output._version if made else -1)
                self.calls.append(call)
                self.alive += list(_tensors((args, kwargs, output)))
                if made:
                    self.made_by.setdefault(id(output), call)

        return hook


def _is_noted(module: nn.Module) -> bool:
    return isinstance(module, (*COUNTED, *BATCH_NORMS)) or not list(module.children())


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from _tensors(part)
