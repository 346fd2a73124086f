"""A network of your own for workflow/runs/own.yaml: change it as you like, or write another function beside it."""

from torch import nn


def network(input_shape: tuple[int, int, int], num_classes: int, width: int = 16) -> nn.Module:
    """Two convolutions and a linear layer. Called with what the data are, and with the arguments of the overlay.

    Args:
        input_shape: (channels, height, width) of an image.
        num_classes: how many logits to return.
        width: filters of each convolution; own.yaml sweeps it.
    """
    channels, height, side = input_shape
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(width * height * side, num_classes, bias=False),
    )
