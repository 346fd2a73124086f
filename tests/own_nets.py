"""Networks as a user would bring them, for tests/test_own.py."""

import torch
from torch import nn


def plain(input_shape: tuple, num_classes: int, width: int = 6) -> nn.Module:
    """A plain stack: divided by the product of its layers' norms."""
    channels, height, side = input_shape
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(width * height * side, num_classes),
    )


class Residual(nn.Module):
    """Has a shortcut: no product of norms."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, 16)
        self.second = nn.Linear(16, 16)
        self.last = nn.Linear(16, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] to [B, classes]."""
        x = torch.relu(self.first(x.flatten(1)))
        return self.last(x + torch.relu(self.second(x)))


def residual(input_shape: tuple, num_classes: int) -> nn.Module:
    channels, height, side = input_shape
    return Residual(channels * height * side, num_classes)


def like_ours(input_shape: tuple, num_classes: int) -> nn.Module:
    """The layers of the architecture conv, widths 4 and 4, bias of the first layer only."""
    channels, height, side = input_shape
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, bias=False),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * (height - 4) * (side - 4), num_classes, bias=False),
    )


def dropout(input_shape: tuple, num_classes: int) -> nn.Module:
    channels, height, side = input_shape
    return nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(channels * height * side, num_classes))


def wrong_classes(input_shape: tuple, num_classes: int) -> nn.Module:
    channels, height, side = input_shape
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * side, num_classes + 1))


def no_module(input_shape: tuple, num_classes: int) -> object:
    return "a network"


def fails(input_shape: tuple, num_classes: int) -> nn.Module:
    raise KeyError("width")
