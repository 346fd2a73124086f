"""P networks of one architecture as one module: parameters [P, ...], images [P, B, C, H, W]."""

from collections.abc import Iterable, Sequence
from typing import TypeGuard, TypeVar

import torch
from torch import nn

from puzzles.networks.architectures import Block
from puzzles.training.backends import Convolve, same_images

Layer = TypeVar("Layer", bound=nn.Module)


class StackedConv2d(nn.Module):
    """P convolutions, each on its own images."""

    def __init__(self, layers: list[nn.Conv2d], convolve: Convolve) -> None:
        super().__init__()
        self.weight = _stack(layer.weight for layer in layers)
        self.bias = _stack_if_any(layer.bias for layer in layers)
        padding = layers[0].padding
        assert isinstance(padding, tuple)  # not a word such as "same"
        self.stride, self.padding, self.convolve = layers[0].stride[0], padding[0], convolve

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[P, B, C, H, W] to [P, B, F, H', W']."""
        convolve = same_images if x.stride(0) == 0 else self.convolve
        y = convolve(x, self.weight, self.stride, self.padding)
        return y if self.bias is None else y + self.bias[:, None, :, None, None]


class StackedLinear(nn.Module):
    """P linear layers."""

    def __init__(self, layers: list[nn.Linear]) -> None:
        super().__init__()
        self.weight = _stack(layer.weight for layer in layers)
        self.bias = _stack_if_any(layer.bias for layer in layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[P, B, in] to [P, B, out]."""
        weight = self.weight.transpose(1, 2)
        return torch.bmm(x, weight) if self.bias is None else torch.baddbmm(self.bias[:, None], x, weight)


class StackedBatchNorm(nn.Module):
    """P batch norms as one layer; networks that are not ``active`` keep their running statistics."""

    running_mean: torch.Tensor
    running_var: torch.Tensor
    num_batches_tracked: torch.Tensor
    active: torch.Tensor

    def __init__(self, layers: Sequence[nn.BatchNorm1d | nn.BatchNorm2d]) -> None:
        super().__init__()
        self.weight, self.bias = _stack(layer.weight for layer in layers), _stack(layer.bias for layer in layers)
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, torch.stack([getattr(layer, name) for layer in layers]))
        momentum = layers[0].momentum
        assert momentum is not None  # None would average over all batches
        self.eps, self.momentum = layers[0].eps, momentum
        self.register_buffer("active", torch.ones(len(layers), dtype=torch.bool, device=self.weight.device))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[P, B, C] or [P, B, C, H, W]: normalized by the statistics of each network's own batch, or by its running ones.

        PyTorch's own operator, over the channels of all networks side by side, as a grouped convolution leaves them. In
        training it updates copies of the running statistics: autograd keeps what it was given.
        """
        side_by_side = x.transpose(0, 1).flatten(1, 2)  # [B, P * C, ...]
        mean, variance = self.running_mean.flatten().clone(), self.running_var.flatten().clone()
        weight, bias = self.weight.flatten(), self.bias.flatten()
        y = nn.functional.batch_norm(side_by_side, mean, variance, weight, bias, self.training, self.momentum, self.eps)
        if self.training:
            self._keep_statistics(mean, variance)
        return y.unflatten(1, (len(x), -1)).transpose(0, 1)

    def _keep_statistics(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        with torch.no_grad():
            for statistic, updated in ((self.running_mean, mean), (self.running_var, variance)):
                statistic.copy_(torch.where(self.active[:, None], updated.view_as(statistic), statistic))
            self.num_batches_tracked += self.active


class StackedBlock(nn.Module):
    """P residual blocks (``networks.architectures.Block``)."""

    conv1: StackedConv2d
    bn1: StackedBatchNorm
    relu1: nn.ReLU
    conv2: StackedConv2d
    bn2: StackedBatchNorm
    relu2: nn.ReLU

    def __init__(self, blocks: list[Block], convolve: Convolve) -> None:
        super().__init__()
        for name, parts in _children(blocks):
            setattr(self, name, _stacked(parts, convolve))
        self.stride, self.missing = blocks[0].stride, blocks[0].missing

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[P, B, C, H, W] to [P, B, C', H / stride, W / stride]."""
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        shortcut = x[..., :: self.stride, :: self.stride]
        if self.missing:
            before = self.missing // 2
            shortcut = nn.functional.pad(shortcut, (0, 0, 0, 0, before, self.missing - before))
        return self.relu2(y + shortcut)


class MeanOverMap(nn.Module):
    """The mean over the last two axes, as global average pooling and flattening do."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[P, B, C, H, W] to [P, B, C]."""
        return x.mean(dim=(3, 4))


def stack(networks: Sequence[nn.Module], convolve: Convolve) -> nn.Module:
    """One module that computes P networks of the same architecture; its parameters have the same names as theirs.

    Raises:
        TypeError: a layer is of a kind that has no stacked form.
    """
    return _stacked(networks, convolve)


def share(stacked: nn.Module, networks: Sequence[nn.Module]) -> None:
    """Make the networks' parameters and buffers views of the stack's, so that a step changes them too."""
    parameters, buffers = dict(stacked.named_parameters()), dict(stacked.named_buffers())
    for k, network in enumerate(networks):
        for name, parameter in network.named_parameters():
            parameter.data = parameters[name].data[k]
        for name, buffer in network.named_buffers():
            buffer.data = buffers[name][k]


def _stacked(modules: Sequence[nn.Module], convolve: Convolve) -> nn.Module:
    if _all_are(modules, nn.Conv2d):
        return StackedConv2d(modules, convolve)
    if _all_are(modules, nn.Linear):
        return StackedLinear(modules)
    if _all_are(modules, nn.BatchNorm1d) or _all_are(modules, nn.BatchNorm2d):
        return StackedBatchNorm(modules)
    if _all_are(modules, Block):
        return StackedBlock(modules, convolve)
    first = modules[0]
    if isinstance(first, nn.Flatten):
        return nn.Flatten(start_dim=2)
    if isinstance(first, nn.AdaptiveAvgPool2d):
        return MeanOverMap()
    if isinstance(first, nn.ReLU):
        return nn.ReLU()
    if isinstance(first, nn.Sequential):
        whole = nn.Sequential()
        for name, parts in _children(modules):
            whole.add_module(name, _stacked(parts, convolve))
        return whole
    raise TypeError(f"{type(first).__name__} has no stacked form")


def _all_are(modules: Sequence[nn.Module], kind: type[Layer]) -> TypeGuard[list[Layer]]:
    return all(isinstance(module, kind) for module in modules)


def _children(modules: Sequence[nn.Module]) -> Iterable[tuple[str, list[nn.Module]]]:
    for name, _ in modules[0].named_children():
        yield name, [module.get_submodule(name) for module in modules]


def _stack_if_any(parameters: Iterable[torch.Tensor | None]) -> nn.Parameter | None:
    present = [parameter for parameter in parameters if parameter is not None]
    return _stack(present) if present else None


def _stack(parameters: Iterable[torch.Tensor]) -> nn.Parameter:
    return nn.Parameter(torch.stack([parameter.detach().contiguous() for parameter in parameters]))
