"""Ways to compute P convolutions, each with its own images and filters. All equal the plain loop to rounding."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

STREAMS = 8  # more do not help: each convolution fills a good part of the device
WORD = 4  # channels that tensor cores load at once in TF32
Convolve = Callable[[torch.Tensor, torch.Tensor, int, int], torch.Tensor]


def loop(x: torch.Tensor, weight: torch.Tensor, stride: int, padding: int) -> torch.Tensor:
    """One convolution after the other.

    Args:
        x: images [P, B, C, H, W].
        weight: filters [P, F, C, k, k].

    Returns:
        [P, B, F, H', W'].
    """
    return torch.stack([nn.functional.conv2d(a, w, stride=stride, padding=padding) for a, w in zip(x, weight, strict=True)])


def streams(x: torch.Tensor, weight: torch.Tensor, stride: int, padding: int) -> torch.Tensor:
    """As ``loop``, but on a GPU on several streams, which become parallel branches of a captured graph."""
    return torch.stack(_each_on_a_stream(x, weight, stride, padding))


def aligned(x: torch.Tensor, weight: torch.Tensor, stride: int, padding: int) -> torch.Tensor:
    """As ``streams``, in the layout that tensor cores read: channels last, their number filled up to whole words.

    The channels and filters that are added are zeros and change no result.
    """
    filters = weight.shape[1]
    weight = _channels_last(weight, -filters % WORD)
    results = _each_on_a_stream(_channels_last(x), weight, stride, padding)
    return torch.stack([y[:, :filters].permute(0, 2, 3, 1) for y in results]).permute(0, 1, 4, 2, 3)


def _channels_last(x: torch.Tensor, missing: int = 0) -> torch.Tensor:
    """Store [P, B, C, H, W] in the order P, B, H, W, C; add zeros to C up to whole words, and ``missing`` ones to B."""
    fill = [0, -x.shape[2] % WORD, 0, 0, 0, 0, 0, missing]
    x = x.permute(0, 1, 3, 4, 2)
    return (nn.functional.pad(x, fill) if any(fill) else x.contiguous()).permute(0, 1, 4, 2, 3)


def _each_on_a_stream(x: torch.Tensor, weight: torch.Tensor, stride: int, padding: int) -> list[torch.Tensor]:
    """Run the convolutions on side streams: they first wait for the current stream, which then waits for all of them.

    So all of it can be captured as one graph, and memory is reused only when its readers are done. The backward pass runs
    on the same streams.
    """
    pairs = list(zip(x, weight, strict=True))
    if not x.is_cuda:
        return [nn.functional.conv2d(images, filters, stride=stride, padding=padding) for images, filters in pairs]
    sides = _side_streams(x.device)
    results = []
    with _forked(sides):
        for k, (images, filters) in enumerate(pairs):
            with torch.cuda.stream(sides[k % len(sides)]):
                results.append(nn.functional.conv2d(images, filters, stride=stride, padding=padding))
    return results


@contextmanager
def _forked(sides: tuple[torch.cuda.Stream, ...]) -> Iterator[None]:
    here = torch.cuda.current_stream(sides[0].device)
    for side in sides:
        side.wait_stream(here)
    try:
        yield
    finally:
        for side in sides:
            here.wait_stream(side)


@contextmanager
def joined_streams(device: torch.device) -> Iterator[None]:
    """Join the side streams to the current one, even after an error: only then can a failed capture be ended."""
    try:
        yield
    finally:
        here = torch.cuda.current_stream(device)
        for side in _side_streams(device):
            with torch.cuda.stream(side):
                forked = torch.cuda.is_current_stream_capturing()
            if forked:
                here.wait_stream(side)


@cache
def _side_streams(device: torch.device) -> tuple[torch.cuda.Stream, ...]:
    return tuple(torch.cuda.Stream(device) for _ in range(STREAMS))


@cache
def capture_stream(device: torch.device) -> torch.cuda.Stream:
    """The one stream of a device on which graphs are captured."""
    return torch.cuda.Stream(device)


def grouped(x: torch.Tensor, weight: torch.Tensor, stride: int, padding: int) -> torch.Tensor:
    """One convolution with P groups: the networks side by side in the channels. As ``loop``."""
    side_by_side = x.transpose(0, 1).flatten(1, 2)  # [B, P * C, H, W]
    y = nn.functional.conv2d(side_by_side, weight.flatten(0, 1), stride=stride, padding=padding, groups=len(weight))
    return y.unflatten(1, (len(weight), -1)).transpose(0, 1)


def same_images(x: torch.Tensor, weight: torch.Tensor, stride: int, padding: int) -> torch.Tensor:
    """One convolution with the filters of all networks, if all see the same images (``x`` is expanded). As ``loop``."""
    y = nn.functional.conv2d(x[0], weight.flatten(0, 1), stride=stride, padding=padding)  # [B, P * F, H', W']
    return y.unflatten(1, (len(weight), -1)).transpose(0, 1)


def unfold(x: torch.Tensor, weight: torch.Tensor, stride: int, padding: int) -> torch.Tensor:
    """One matrix product for each network with all patches of its images (im2col). As ``loop``."""
    networks, batch, _, height, width = x.shape
    kernel = weight.shape[-1]
    patches = nn.functional.unfold(x.flatten(0, 1), kernel, stride=stride, padding=padding)  # [P * B, C k k, L]
    patches = patches.unflatten(0, (networks, batch)).transpose(1, 2).flatten(2)  # [P, C k k, B * L]
    y = torch.bmm(weight.flatten(2), patches)  # [P, F, B * L]
    rows, columns = ((side + 2 * padding - kernel) // stride + 1 for side in (height, width))
    return y.unflatten(2, (batch, rows, columns)).transpose(1, 2)


@dataclass(frozen=True)
class Backend:
    """How a stack steps: what computes its convolutions, and whether ``torch.compile`` fuses what is around them."""

    convolve: Convolve
    compiled: bool = False


def compiled(module: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """Compile the forward pass of a module.

    Code compiled for earlier stacks is dropped: torch counts them as one function and limits how often it compiles it.
    """
    torch.compiler.reset()
    return torch.compile(module, fullgraph=True)


BACKENDS = {
    "loop": Backend(loop),
    "streams": Backend(streams),
    "aligned": Backend(aligned),
    "grouped": Backend(grouped),
    "unfold": Backend(unfold),
    "compiled": Backend(grouped, compiled=True),
}
