"""SGD of P networks at once: all their parameters are one vector, so that a step is a handful of operations."""

from collections.abc import Iterable

import torch
from torch import nn

from puzzles.config.specs import NetworkSpec

ALIGNMENT = 64  # numbers; every tensor starts at a multiple of it, where wide loads are possible


class StackedSGD:
    """SGD with momentum as ``torch.optim.SGD`` does it, each network with its own rate, momentum and weight decay.

    Moves the parameters of ``stacked`` into one vector, of which they become views.

    Args:
        stacked: P networks as one module, parameters [P, ...].
        specs: what each of them trains with.
        momenta: a buffer [P, ...] for each parameter, as a checkpoint has left it.
    """

    def __init__(self, stacked: nn.Module, specs: list[NetworkSpec], momenta: Iterable[torch.Tensor]) -> None:
        self.parameters = list(stacked.parameters())
        self._pads = [p.new_zeros(-p.numel() % ALIGNMENT) for p in self.parameters]
        self._values, self._momenta = self._as_vector(self.parameters), self._as_vector(momenta)
        for parameter, view in zip(self.parameters, self._views(self._values), strict=True):
            parameter.data = view
        numbers = [torch.arange(len(specs)).repeat_interleave(p[0].numel()) for p in self.parameters]
        self._owner = self._as_vector([n.to(self._values.device) for n in numbers])  # which network a number belongs to
        self._lr = torch.zeros_like(self._values)
        self._momentum = self._each([s.momentum for s in specs])
        self._weight_decay = self._each([s.weight_decay for s in specs]) if any(s.weight_decay for s in specs) else None

    @property
    def momenta(self) -> list[torch.Tensor]:
        """The momentum buffer of each parameter, [P, ...], as views that steps change."""
        return self._views(self._momenta)

    @property
    def state(self) -> list[torch.Tensor]:
        """Everything that a step changes."""
        return [self._values, self._momenta]

    def set_rates(self, rates: list[float]) -> None:
        """Set the learning rate of each network; one with rate 0 keeps its weights."""
        self._lr.copy_(self._each(rates))

    def step(self, loss: torch.Tensor) -> None:
        """One step down the gradient of ``loss``, the sum of the networks' own losses."""
        gradient = self._as_vector(torch.autograd.grad(loss, self.parameters))
        if self._weight_decay is not None:
            gradient.addcmul_(self._weight_decay, self._values)
        self._momenta.mul_(self._momentum).add_(gradient)
        self._values.addcmul_(self._lr, self._momenta, value=-1)

    def _each(self, values: list[float]) -> torch.Tensor:
        """One number for each network, repeated for each of its parameters."""
        return torch.tensor(values, dtype=self._values.dtype, device=self._values.device)[self._owner]

    def _as_vector(self, tensors: Iterable[torch.Tensor]) -> torch.Tensor:
        parts = zip(tensors, self._pads, strict=True)
        return torch.cat([part for tensor, pad in parts for part in (tensor.detach().flatten(), pad.to(tensor.dtype))])

    def _views(self, vector: torch.Tensor) -> list[torch.Tensor]:
        sizes = [size for p, pad in zip(self.parameters, self._pads, strict=True) for size in (p.numel(), pad.numel())]
        return [part.view_as(p) for part, p in zip(vector.split(sizes)[::2], self.parameters, strict=True)]
