"""Measures of a network that others than the paper have proposed as predictors of its test error."""

import copy
import math

import torch
from torch import nn

from puzzles.networks.architectures import weight_layers


def path_norm(network: nn.Module, input_shape: tuple[int, int, int]) -> float:
    """The root of the sum, over all paths from an input to an output, of the product of squared weights.

    As Neyshabur, Salakhutdinov and Srebro (2015) define it: the outputs for an image of ones once every weight and bias is
    squared. For networks without batch norm and shortcuts, in float64.

    Args:
        input_shape: (C, H, W).
    """
    squared = copy.deepcopy(network).double().eval()
    with torch.no_grad():
        for parameter in squared.parameters():
            parameter.square_()
        device = next(squared.parameters()).device
        return math.sqrt(float(squared(torch.ones(1, *input_shape, dtype=torch.float64, device=device)).sum()))


def fisher_rao_norm(network: nn.Module, outputs: torch.Tensor, labels: torch.Tensor) -> float:
    """Depth times the root mean square of <dl/df, f> (Liang, Poggio, Rakhlin and Stokes 2019, Theorem 3.1).

    Exact for networks without biases; with biases, what the same formula gives.

    Args:
        outputs: logits of the training images, [N, C].
        labels: [N].
    """
    slope = torch.softmax(outputs, dim=1)
    slope = slope.scatter_add(1, labels[:, None], -torch.ones_like(slope[:, :1]))
    return len(weight_layers(network)) * math.sqrt(float((slope * outputs).sum(dim=1).square().mean()))


def sum_of_squares(network: nn.Module) -> float:
    """The sum of all squared weights and biases, in float64: what weight decay decays."""
    return sum(float(parameter.detach().double().square().sum()) for parameter in network.parameters())


def distance(network: nn.Module, other: nn.Module) -> float:
    """The Frobenius norm of the difference of the weights of two networks of one architecture, over all layers."""
    pairs = zip(weight_layers(network), weight_layers(other), strict=True)
    squares = ((a.weight.detach().double() - b.weight.detach().double()).square().sum() for (_, a), (_, b) in pairs)
    return math.sqrt(float(sum(squares)))
