"""What ``NormalizedLoss`` needs of ``torchmetrics.Metric``, where that is not installed."""

import copy
import functools
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import distributed, nn

Reduction = Callable[[torch.Tensor], torch.Tensor]


class Metric(nn.Module):
    """States that are summed over batches and, when ``compute`` is called, over the processes of torch.distributed.

    The same names as ``torchmetrics.Metric`` and the same behaviour: states are no parameters and not in ``state_dict``;
    ``to`` moves them; after ``compute`` each process has its own sums again.
    """

    def __init__(self) -> None:
        super().__init__()
        self._defaults: dict[str, torch.Tensor] = {}
        self._reductions: dict[str, Reduction] = {}
        self._forward_cache: torch.Tensor | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.compute = _over_all_processes(cls.compute)  # type: ignore[method-assign, assignment]

    def add_state(self, name: str, default: torch.Tensor, dist_reduce_fx: str | Reduction = "sum") -> None:
        """Add a tensor that ``reset`` sets to ``default``; ``dist_reduce_fx`` makes one of those of all processes."""
        self._defaults[name] = default
        self._reductions[name] = _total if isinstance(dist_reduce_fx, str) else dist_reduce_fx
        setattr(self, name, default.clone())

    def update(self, *args: Any) -> None:
        """Add a batch to the states."""
        raise NotImplementedError

    def compute(self) -> torch.Tensor:
        """The value, from the states."""
        raise NotImplementedError

    def reset(self) -> None:
        """Forget all batches."""
        self._forward_cache = None
        for name, default in self._defaults.items():
            setattr(self, name, default.clone().to(getattr(self, name).device))

    def clone(self) -> Self:
        """A copy with the same sums."""
        return copy.deepcopy(self)

    def _apply(self, fn: Callable, recurse: bool = True) -> Self:
        super()._apply(fn, recurse)
        for name in self._defaults:
            setattr(self, name, fn(getattr(self, name)))
        return self


def _total(stacked: torch.Tensor) -> torch.Tensor:
    return stacked.sum(dim=0)


def _over_all_processes(compute: Callable[[Any], torch.Tensor]) -> Callable[[Any], torch.Tensor]:
    @functools.wraps(compute)
    def wrapped(metric: Metric) -> torch.Tensor:
        if not (distributed.is_available() and distributed.is_initialized()):
            return compute(metric)
        own = {name: getattr(metric, name) for name in metric._defaults}
        try:
            for name, state in own.items():
                gathered = [torch.empty_like(state) for _ in range(distributed.get_world_size())]
                distributed.all_gather(gathered, state)
                setattr(metric, name, metric._reductions[name](torch.stack(gathered)))
            return compute(metric)
        finally:
            for name, state in own.items():
                setattr(metric, name, state)

    return wrapped
