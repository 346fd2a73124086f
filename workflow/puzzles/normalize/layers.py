"""The layers that a product of norms counts: their weights as matrices, the norms of those, batch norm folded into them."""

import math
from typing import Any

import torch
from torch import nn
from torch.nn.utils import fusion

L1_DIVISOR = 100.0  # Fig. 9 divides each layer's L1 norm by 100
ORDERS = {"l2": 2.0, "l1": 1.0, "linf": math.inf}
NORMS = (*ORDERS, "spectral")

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *TRANSPOSED)
FOLDABLE = (nn.Linear, *CONVOLUTIONS)
COUNTED = (*FOLDABLE, nn.Bilinear, nn.Embedding, nn.EmbeddingBag)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
ALTERNATIVE = "alternative: divide by the norm of the output, puzzles.output_norm or NormalizedLoss(..., norm='output')"
WITHOUT_FLOAT64 = {"mps"}  # devices; what is on them is computed on the CPU


def in_float64(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor in float64; on the CPU where its device has no float64 (Apple's MPS)."""
    return (tensor.cpu() if tensor.device.type in WITHOUT_FLOAT64 else tensor).double()


def as_matrix(layer: nn.Module, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """A layer's weight as a float64 matrix [out, in k k], with its bias as one more column if one is given.

    The kernel of a transposed convolution, [in, out / groups, k, k], is brought into that form. An embedding is
    [num_embeddings, embedding_dim].
    """
    matrix = in_float64(weight)
    if isinstance(layer, TRANSPOSED):
        matrix = matrix.unflatten(0, (layer.groups, -1)).transpose(1, 2).flatten(0, 1)
    matrix = matrix.flatten(1)
    return matrix if bias is None else torch.cat([matrix, in_float64(bias)[:, None]], dim=1)


def matrix_norm(matrix: torch.Tensor, norm: str) -> torch.Tensor:
    """The norm of a layer's matrix, without axes, on its device (nothing waits for it); nan if an entry is not finite.

    ``l2``: Frobenius; ``l1``: sum of absolute values / 100 (Fig. 9); ``linf``: largest absolute value; ``spectral``: largest
    singular value (beyond the paper).
    """
    finite = matrix.isfinite().all()  # it is not in a network that diverged
    if norm == "spectral":
        value = torch.linalg.matrix_norm(torch.where(finite, matrix, 0.0), 2)
    else:
        value = torch.linalg.vector_norm(matrix, ORDERS[norm])
    return torch.where(finite, value / L1_DIVISOR if norm == "l1" else value, math.nan)


def at(network: nn.Module, name: str) -> Any:
    """The module of a name, of a kind that the caller knows."""
    return network.get_submodule(name)


def folded(layer: Any, batch_norm: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The weight and bias, in float64, of a layer that computes what it and the batch norm after it compute in eval mode.

    W' = gamma W / sqrt(var + eps), b' = beta + gamma (b - mu) / sqrt(var + eps).
    """
    mean, variance = in_float64(batch_norm.running_mean), in_float64(batch_norm.running_var)
    gamma = torch.ones_like(mean) if batch_norm.weight is None else in_float64(batch_norm.weight)
    beta = torch.zeros_like(mean) if batch_norm.bias is None else in_float64(batch_norm.bias)
    weight, bias = in_float64(layer.weight), None if layer.bias is None else in_float64(layer.bias)
    if isinstance(layer, nn.Linear):
        return fusion.fuse_linear_bn_weights(weight, bias, mean, variance, batch_norm.eps, gamma, beta)
    transposed = isinstance(layer, TRANSPOSED)
    return fusion.fuse_conv_bn_weights(weight, bias, mean, variance, batch_norm.eps, gamma, beta, transposed)


def fold(layer: Any, batch_norm: Any) -> None:
    """Give a layer the weight and bias that ``folded`` computes, in the precision and on the device of its weight."""
    like = layer.weight
    weight, bias = (tensor.detach().to(like) for tensor in folded(layer, batch_norm))
    layer.weight, layer.bias = nn.Parameter(weight, like.requires_grad), nn.Parameter(bias, like.requires_grad)
