"""The normalized loss of a network, batch by batch."""

import copy
import math
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import nn

from puzzles.base.errors import NormalizationError
from puzzles.normalize.copies import ExampleInput
from puzzles.normalize.layers import WITHOUT_FLOAT64
from puzzles.normalize.losses import check_batch, summed_loss
from puzzles.normalize.product import Biases, Norm, Normalizer

try:
    from torchmetrics import Metric
except ImportError:
    from puzzles.normalize.sums import Metric  # type: ignore[assignment]

UNSET = -1.0  # rho before the first batch
SAME_RHO = 1e-6  # relative: less changes no digit that the loss has


class NormalizedLoss(Metric):
    """The mean cross-entropy of f / rho over all batches since ``reset``, with the interface of torchmetrics.

    A ``torchmetrics.Metric`` where torchmetrics is installed, else a class of our own with the same methods: ``update``,
    ``compute``, ``reset``, ``forward``, ``to``, ``clone``; sums over the processes of ``torch.distributed``.

    **One rho for all batches.** Each ``update`` computes rho from the model's weights as they are, folding batch norm with
    the running statistics as they are. It has to be that of the first batch since ``reset``; if the weights have changed in
    between, that is an error, because a mean over several networks is no loss of one. So evaluate in a pass of its own, in
    eval mode, and ``reset`` before the next. What is divided by the product is tested when the metric is made (see
    ``Normalizer``); make a new one if you exchange layers.

    Logits may be of any floating type and on any device. From them on everything is float64; on a device without it (Apple's
    MPS) sums are kept on the CPU. A network that has diverged gives nan.

    The model is not part of the metric: it is not moved, not in ``state_dict``, and a clone measures the same model. A
    pickled metric takes a copy of its model along.

    Args:
        model: the network whose logits come.
        example_input: a few examples, see ``fold_batchnorm``.
        norm: see ``Normalizer``; ``"output"`` for networks with shortcuts, attention or layer norm.
        biases: see ``Normalizer``; ``"ignore"`` for networks with batch norm, or with biases after the first layer.
        kwargs: for ``torchmetrics.Metric``.

    Raises:
        NormalizationError: the division means nothing for this network; one line that names the module.

    >>> import torch
    >>> from torch import nn
    >>> import puzzles
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3, bias=False)).eval()
    >>> x, y = torch.randn(10, 4), torch.arange(10) % 3
    >>> loss = puzzles.NormalizedLoss(model, x[:2])
    >>> for part in (slice(0, 6), slice(6, 10)):
    ...     loss.update(model(x[part]), y[part])
    >>> at_once = puzzles.normalized_cross_entropy(model(x), y, puzzles.norm_product(model, x))
    >>> torch.allclose(loss.compute(), at_once)
    True
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    loss_sum: torch.Tensor
    examples: torch.Tensor
    rho: torch.Tensor

    def __init__(
        self,
        model: nn.Module,
        example_input: ExampleInput,
        *,
        norm: Norm = "l2",
        biases: Biases = "first",
        **kwargs: Any,
    ) -> None:
        if kwargs.get("dist_sync_on_step"):
            raise NormalizationError("dist_sync_on_step: found True, expected False: processes are added up by compute()")
        super().__init__(**kwargs)
        self.normalizer = Normalizer(model, example_input, norm=norm, biases=biases)
        self._model = _Reference(model)  # not the model itself, or it would become a submodule
        self.add_state("loss_sum", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("examples", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("rho", torch.full((), UNSET, dtype=torch.float64), dist_reduce_fx=_one_rho)

    def update(self, logits: torch.Tensor, target: torch.Tensor) -> None:
        """Add a batch: logits [N, C] of the model in eval mode, classes [N]. N may be 0.

        Raises:
            NormalizationError: see ``normalized_cross_entropy``; or the weights have changed since ``reset``, or the model
                is in training mode.
        """
        check_batch(logits, target)
        rho = _one_rho(torch.stack([self.rho, torch.full_like(self.rho, self._rho_now())]))
        self.loss_sum = self.loss_sum + summed_loss(logits.detach(), target, float(rho)).to(self.loss_sum.device)
        self.examples = self.examples + len(logits)
        self.rho = rho

    def compute(self) -> torch.Tensor:
        """The mean over all examples since ``reset``, of all processes, in float64.

        Raises:
            NormalizationError: there was no example; or processes have divided by different rho.
        """
        if not self.examples:
            raise NormalizationError("NormalizedLoss: found no example since reset(), expected update() before compute()")
        return self.loss_sum / self.examples

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Add a batch and return its own normalized loss (of this process)."""
        self.update(logits, target)
        value = summed_loss(logits.detach(), target, float(self.rho)) / max(1, len(logits))
        self._forward_cache: Any = value
        return value

    def _rho_now(self) -> float:
        model = self._model.resolve()
        if any(module.training for module in model.modules() if module is not self):
            raise NormalizationError(
                "NormalizedLoss: found the model in training mode, expected model.eval() before its logits"
            )
        return self.normalizer(model)

    def _apply(self, fn: Callable, *args: Any) -> Self:
        """Move the sums; their precision stays."""
        device = fn(torch.zeros(())).device
        super()._apply(lambda t: t.to("cpu" if device.type in WITHOUT_FLOAT64 else device), *args)
        return self

    def clone(self) -> Self:
        """A copy with the same sums, of the same model."""
        return copy.deepcopy(self)


def _one_rho(stacked: torch.Tensor) -> torch.Tensor:
    """The rho that all have that have one.

    Raises:
        NormalizationError: they differ.
    """
    known = stacked[stacked != UNSET]
    if not len(known) or known.isnan().all():
        return stacked[0] if not len(known) else known[0]
    low, high = float(known.min()), float(known.max())
    if not math.isclose(low, high, rel_tol=SAME_RHO):
        raise NormalizationError(
            f"NormalizedLoss: found rho {low:.9g} and {high:.9g}, expected one for all batches: the weights have "
            f"changed since the first batch, or differ between processes; evaluate in a pass of its own, reset() before"
        )
    return known[0]


class _Reference:
    """A model that is neither a submodule nor copied with the metric.

    A copy refers to the same model; but where a copy of a module that holds both was made, to the model's copy there.
    """

    def __init__(self, model: nn.Module, copies: dict[int, Any] | None = None) -> None:
        self.model, self.copies = model, copies

    def resolve(self) -> nn.Module:
        """The model. After a copy this asks once whether the model has been copied too: the metric may come first."""
        if self.copies is not None:
            self.model, self.copies = self.copies.get(id(self.model), self.model), None
        return self.model

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Reference":
        return _Reference(self.resolve(), memo)

    def __getstate__(self) -> dict[str, Any]:
        return {"model": self.resolve(), "copies": None}
