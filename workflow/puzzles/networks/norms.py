"""rho, the product of a network's layer norms (Eq. 1): f~ = f / rho."""

import copy
import math

import torch
from torch import nn

from puzzles.networks.architectures import absorb_batch_norm, weight_layers
from puzzles.networks.own import Own
from puzzles.normalize.layers import as_matrix, matrix_norm


def rho(network: nn.Module, norm: str = "l2") -> float:
    """The product over layers of the norm of the layer's weights, in float64; batch norm is absorbed first.

    ``l2``: Frobenius; ``l1``: sum of absolute values / 100 for each layer (Fig. 9); ``linf``: largest absolute value;
    ``spectral``: largest singular value of the kernel reshaped to [out, in k k] (beyond the paper); ``l2_biases``: Frobenius
    with every layer's bias as one more column, for networks whose deeper layers have biases.
    Where only the first layer has a bias, it counts as one more column of that layer's weights, so that f / rho is exactly
    the network with every layer divided by its norm. With biases in more layers, only the weights count.
    """
    return math.prod(layer_norms(network, norm))


def layer_norms(network: nn.Module, norm: str = "l2") -> list[float]:
    """The norm of each layer, in order; see ``rho``."""
    return [float(value) for value in layer_norm_values(network, norm)]


def layer_norm_values(network: nn.Module, norm: str = "l2") -> list[torch.Tensor]:
    """``layer_norms`` as float64 tensors without axes that stay on the device, so that nothing waits for it."""
    if isinstance(network, Own):
        return network.layer_norms(norm)
    matrices = _matrices(absorb_batch_norm(network), all_biases=norm == "l2_biases")
    return [matrix_norm(matrix, "l2" if norm == "l2_biases" else norm) for matrix in matrices]


def divide_layers(network: nn.Module, norm: str = "l2") -> nn.Module:
    """A copy in which every layer, its weights and its bias, is divided by its norm, as the paper's captions say.

    Where no layer but the first has a bias, it computes f / rho (Eq. 1). Where deeper layers have biases, as once batch norm
    is absorbed, it is another network: a bias would have to be divided by the norms of the layers before it as well.
    """
    divided = copy.deepcopy(network)
    for (_, layer), value in zip(weight_layers(divided), layer_norms(network, norm), strict=True):
        with torch.no_grad():
            for parameter in layer.parameters(recurse=False):
                parameter.div_(value)
    return divided


def is_bias_light(network: nn.Module) -> bool:
    """Whether no layer but the first has a bias: then f / rho is the network normalized layer by layer."""
    return all(layer.bias is None for _, layer in weight_layers(network)[1:])


def _matrices(network: nn.Module, all_biases: bool) -> list[torch.Tensor]:
    """Each layer's weights as a float64 matrix [out, in k k], with its bias as one more column where ``rho`` counts it."""
    matrices = []
    for k, (_, layer) in enumerate(weight_layers(network)):
        counts_bias = all_biases or (k == 0 and is_bias_light(network))
        matrices.append(
            as_matrix(layer, layer.weight.detach(), layer.bias.detach() if counts_bias and layer.bias is not None else None)
        )
    return matrices
