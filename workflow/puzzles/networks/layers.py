"""Torch's layers, with the same parameters and the same results to rounding, trained faster on a CPU."""

import torch
from torch import nn

from puzzles.networks import fourier


class Conv2d(nn.Conv2d):
    """``nn.Conv2d``, but computed in another way in two cases, to train faster on a CPU (measured: docs/engine.md).

    Large kernels between many channels go through ``fourier.conv2d``. Grey images get a second channel of zeros, because the
    gradient of filters with a single channel takes several times as long.
    """

    padding: tuple[int, int]  # never a word such as "same", which torch allows

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] to [B, F, H', W']."""
        if self.training and torch.is_grad_enabled() and x.device.type == "cpu":
            if fourier_pays(self, x):
                y = fourier.conv2d(nn.functional.pad(x, [self.padding[0]] * 4) if any(self.padding) else x, self.weight)
                return y if self.bias is None else y + self.bias[:, None, None]
            if self.in_channels == 1 and x.shape[-1] >= 16:  # smaller images gain nothing
                x, weight = (_with_empty_channel(t) for t in (x, self.weight))
                return nn.functional.conv2d(x, weight, self.bias, self.stride, self.padding)
        return super().forward(x)


def fourier_pays(layer: nn.Conv2d, x: torch.Tensor) -> bool:
    """Whether the Fourier transform is faster for a layer and images [B, C, H, W].

    Decided by a fixed rule, not by timing, so that the same spec gives the same bits on every run.
    """
    return (
        layer.stride == (1, 1)
        and layer.kernel_size[0] >= 5
        and min(layer.in_channels, layer.out_channels) >= 20
        and x.shape[-1] >= 12
        and x.shape[-1] == x.shape[-2]
        and len(x) >= 32
    )


def _with_empty_channel(x: torch.Tensor) -> torch.Tensor:
    return nn.functional.pad(x, (0, 0, 0, 0, 0, 1)).contiguous(memory_format=torch.channels_last)


class Flatten(nn.Flatten):
    """``nn.Flatten``, but it returns the gradient in the memory layout of the images.

    For channels_last images ``nn.Flatten`` returns it in the other layout, and the backward pass of ReLU, which then reads
    two layouts at once, takes several times as long. No number changes.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] to [B, C * H * W]."""
        if x.requires_grad and x.is_contiguous(memory_format=torch.channels_last):
            x.register_hook(lambda gradient: gradient.contiguous(memory_format=torch.channels_last))
        return super().forward(x)
