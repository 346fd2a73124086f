"""Batch order, crops and learning rate of each epoch, from the spec's own random generators."""

from collections.abc import Iterator

import numpy as np
import torch

from puzzles.base.randomness import generator
from puzzles.config.specs import NetworkSpec, batch_bounds
from puzzles.data.preparation import Examples

CROP_PADDING = 4  # pixels, App. L.3


def learning_rate(spec: NetworkSpec, epoch: int) -> float:
    """The learning rate of an epoch; epochs count from 0."""
    return spec.lr * spec.lr_gamma ** sum(epoch >= milestone for milestone in spec.lr_milestones)


def batch_order(spec: NetworkSpec, epoch: int, count: int) -> np.ndarray:
    """The order of the training examples in an epoch, [N]."""
    return generator(spec.seed, "batch_order", epoch).permutation(count)


def crop_draws(spec: NetworkSpec, epoch: int, count: int) -> np.ndarray:
    """Row offset, column offset and flip of each example in an epoch, [3, N] in batch order."""
    draws = generator(spec.seed, "augmentation", epoch)
    parts = []
    for start, end in batch_bounds(count, spec.batch_size):
        top, left = (draws.integers(2 * CROP_PADDING + 1, size=(end - start, 1)) for _ in range(2))
        parts.append(np.hstack([top, left, draws.random((end - start, 1)) < 0.5]))
    return np.vstack(parts).T.copy()


def batches(examples: Examples, spec: NetworkSpec, epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The batches of an epoch for one network: images [B, H, W, C] and labels [B]."""
    count, device = len(examples.train_y), examples.train_y.device
    order = torch.from_numpy(batch_order(spec, epoch, count)).to(device)
    crops = torch.from_numpy(crop_draws(spec, epoch, count)).to(device) if spec.augment == "crop_flip" else None
    for start, end in batch_bounds(count, spec.batch_size):
        batch = order[start:end]
        x = examples.train_x[batch]
        if crops is not None:
            x = crop_flip(x[None], examples.black, *crops[:, None, start:end])[0]
        yield x, examples.train_y[batch]


def crop_flip(
    x: torch.Tensor, black: torch.Tensor, top: torch.Tensor, left: torch.Tensor, flip: torch.Tensor
) -> torch.Tensor:
    """Images [P, B, H, W, C] padded with black, cropped at ``top`` and ``left``, flipped where ``flip`` ([P, B])."""
    networks, count, height, width, channels = x.shape
    padded = black.expand(networks, count, height + 2 * CROP_PADDING, width + 2 * CROP_PADDING, channels).clone()
    padded[:, :, CROP_PADDING:-CROP_PADDING, CROP_PADDING:-CROP_PADDING] = x
    rows = top[..., None] + torch.arange(height, device=x.device)  # [P, B, H]
    columns = left[..., None] + torch.arange(width, device=x.device)  # [P, B, W]
    columns = torch.where(flip[..., None].bool(), columns.flip(-1), columns)
    first, second = (torch.arange(n, device=x.device) for n in (networks, count))
    return padded[first[:, None, None, None], second[:, None, None], rows[..., None], columns[..., None, :]]
