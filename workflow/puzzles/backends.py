"""Ways to compute P convolutions, each of its own images with its own filters. All equal the plain loop to rounding."""

from collections.abc import Callable

import torch
from torch import nn

Convolve = Callable[[torch.Tensor, torch.Tensor, int, int], torch.Tensor]


def loop(x: torch.Tensor, weight: torch.Tensor, stride: int, padding: int) -> torch.Tensor:
    """One convolution after the other, each on its own stream of the device while a graph is captured.

    Args:
        x: images [P, B, C, H, W].
        weight: filters [P, F, C, k, k].

    Returns:
        [P, B, F, H', W'].
    """
    return torch.stack([nn.functional.conv2d(a, w, stride=stride, padding=padding) for a, w in zip(x, weight, strict=True)])


def grouped(x: torch.Tensor, weight: torch.Tensor, stride: int, padding: int) -> torch.Tensor:
    """One convolution with P groups: the networks side by side in the channels. As ``loop``."""
    side_by_side = x.transpose(0, 1).flatten(1, 2)  # [B, P * C, H, W]
    y = nn.functional.conv2d(side_by_side, weight.flatten(0, 1), stride=stride, padding=padding, groups=len(weight))
    return y.unflatten(1, (len(weight), -1)).transpose(0, 1)


def unfold(x: torch.Tensor, weight: torch.Tensor, stride: int, padding: int) -> torch.Tensor:
    """One matrix product for each network with all patches of its images (im2col). As ``loop``."""
    networks, batch, _, height, _ = x.shape
    kernel = weight.shape[-1]
    patches = nn.functional.unfold(x.flatten(0, 1), kernel, stride=stride, padding=padding)  # [P * B, C k k, L]
    patches = patches.unflatten(0, (networks, batch)).transpose(1, 2).flatten(2)  # [P, C k k, B * L]
    y = torch.bmm(weight.flatten(2), patches)  # [P, F, B * L]
    side = (height + 2 * padding - kernel) // stride + 1
    return y.unflatten(2, (batch, side, -1)).transpose(1, 2)


BACKENDS: dict[str, Convolve] = {"loop": loop, "grouped": grouped, "unfold": unfold}
