"""Evaluate networks in training: computed on the device, and copied from it once for all networks together."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import torch
from torch import nn

from puzzles.data.preparation import Examples
from puzzles.networks.architectures import has_norm_product
from puzzles.networks.measure import Outputs, logits, misclassified
from puzzles.networks.norms import layer_norm_values
from puzzles.networks.transfer import to_host

COLUMNS = ("train_loss", "test_loss", "train_error", "test_error", "rho", "norm_train_loss", "norm_test_loss")


@dataclass(frozen=True)
class Evaluated:
    """A network with its examples, the image x0 [H, W, channels] of the output norm, and what it answers."""

    network: nn.Module
    examples: Examples
    x0: torch.Tensor
    outputs: Outputs


def history_rows(evaluated: Iterable[Evaluated]) -> list[dict[str, float]]:
    """A row of the training history for each network: losses and errors on the whole sets, rho and normalized losses.

    rho is the product of Frobenius norms, or the output norm for x0 where that product means nothing (shortcuts). An
    iterable that computes outputs when they are asked for never holds those of all networks.
    """
    numbers = [_numbers(e) for e in evaluated]
    if not numbers:
        return []
    (table,) = to_host([torch.stack(numbers)])
    return [dict(zip(COLUMNS, row, strict=True)) for row in table.tolist()]


def _numbers(e: Evaluated) -> torch.Tensor:
    """``COLUMNS`` of one network [7], float64, on its device."""
    if has_norm_product(e.network):
        rho = reduce(torch.mul, layer_norm_values(e.network))
    else:
        rho = torch.linalg.vector_norm(logits(e.network, e.x0[None])[0])
    sets = ((e.outputs.train, e.examples.train_y), (e.outputs.test, e.examples.test_y))
    losses = [nn.functional.cross_entropy(outputs, labels) for outputs, labels in sets]
    errors = [misclassified(outputs, labels) for outputs, labels in sets]
    return torch.stack([*losses, *errors, rho, *(nn.functional.cross_entropy(f / rho, labels) for f, labels in sets)])
