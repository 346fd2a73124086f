"""The loss of f / rho and the ratio of test to training margin, from logits and losses."""

import math

import torch
from torch import nn

from puzzles.base.errors import NormalizationError
from puzzles.normalize.layers import in_float64


def normalized_cross_entropy(logits: torch.Tensor, target: torch.Tensor, rho: float | torch.Tensor) -> torch.Tensor:
    """The mean natural-log cross-entropy of softmax(f / rho), in float64 (Eqs. 9, 10, corrected).

    The effects are about 1e-5 on ln C, so logits of any precision become float64 before they are divided. On a device
    without float64 (Apple's MPS) that happens on the CPU.

    Args:
        logits: f, [N, C], floating point.
        target: the classes, [N], whole numbers from 0 to C - 1.
        rho: what ``norm_product`` or ``output_norm`` gives.

    Returns:
        A number in float64, differentiable in the logits; nan if a logit is not finite.

    Raises:
        NormalizationError: a shape, a kind of number or a class is wrong, or rho is not a positive number.

    >>> import torch
    >>> import puzzles
    >>> logits, target = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])
    >>> round(float(puzzles.normalized_cross_entropy(logits, target, 1.0)), 6)
    0.220095
    >>> round(float(puzzles.normalized_cross_entropy(logits, target, 1000.0)), 6)  # near ln 2
    0.692397
    """
    check_batch(logits, target)
    if not len(logits):
        raise NormalizationError("logits: found no example, expected at least one")
    value = float(rho)
    if not (value > 0 and math.isfinite(value)):
        raise NormalizationError(f"rho: found {value:g}, expected a positive finite number")
    return summed_loss(logits, target, value) / len(logits)


def summed_loss(logits: torch.Tensor, target: torch.Tensor, rho: float) -> torch.Tensor:
    """The sum over examples of the cross-entropy of softmax(f / rho), in float64."""
    f = in_float64(logits) / rho
    return nn.functional.cross_entropy(f, target.to(f.device).long(), reduction="sum")


def check_batch(logits: torch.Tensor, target: torch.Tensor) -> None:
    """Refuse what is not a batch of logits with a class for each.

    Raises:
        NormalizationError: one line that says what was found and expected.
    """
    for name, value in (("logits", logits), ("target", target)):
        if not isinstance(value, torch.Tensor):
            raise NormalizationError(f"{name}: found {type(value).__name__}, expected a tensor")
    if logits.dim() != 2 or logits.shape[1] < 2 or not logits.is_floating_point():
        found = f"shape {list(logits.shape)}, {logits.dtype}"
        raise NormalizationError(f"logits: found {found}, expected [N, C] floating point with two classes or more")
    whole = not (target.is_floating_point() or target.is_complex() or target.dtype == torch.bool)
    if target.shape != logits.shape[:1] or not whole:
        found = f"shape {list(target.shape)}, {target.dtype}"
        raise NormalizationError(
            f"target: found {found}, expected one class for each of {len(logits)} logits, whole numbers"
        )
    if len(target) and not 0 <= int(target.min()) <= int(target.max()) < logits.shape[1]:
        wrong = int(target.min()) if int(target.min()) < 0 else int(target.max())
        raise NormalizationError(f"target: found class {wrong}, expected 0 to {logits.shape[1] - 1} (no example is ignored)")


def margin_ratio(train_loss: float | torch.Tensor, test_loss: float | torch.Tensor, num_classes: int) -> float:
    """r, the ratio of test to training depth, which is how far a normalized loss is below ln C.

    While normalized outputs are small, a depth is the mean of f~_y - mean_j f~_j, so r is the ratio of mean normalized
    margins: 1 where a network is as sure of test examples as of those it was trained on, 0 where it knows nothing of them.
    Networks with one r are on a line of slope r through (ln C, ln C), whatever their errors. The column ``margin_ratio`` of
    the pipeline's tables.

    Args:
        train_loss: normalized loss on the training set, in float64.
        test_loss: the same on the test set, divided by the same rho.
        num_classes: C.

    Returns:
        r; nan where the training loss is ln C exactly.

    Raises:
        NormalizationError: there are fewer than two classes.

    >>> import math
    >>> import puzzles
    >>> round(puzzles.margin_ratio(math.log(10) - 4e-5, math.log(10) - 3e-5, 10), 6)
    0.75
    """
    if num_classes < 2:
        raise NormalizationError(f"num_classes: found {num_classes}, expected two or more")
    chance = math.log(num_classes)
    depth = chance - float(train_loss)
    return (chance - float(test_loss)) / depth if depth else math.nan
