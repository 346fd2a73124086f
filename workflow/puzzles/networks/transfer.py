"""Copy tensors from the device where they were computed to the CPU, many at once."""

from collections.abc import Sequence

import torch


def to_host(tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Copies on the CPU, in contiguous memory of their own; one transfer for each type of number among them.

    Each transfer waits for the device: thousands of small ones cost far more than their bytes.
    """
    copies: dict[int, torch.Tensor] = {}
    for dtype in {t.dtype: None for t in tensors}:
        which = [k for k, t in enumerate(tensors) if t.dtype == dtype]
        together = _transferred(torch.cat([tensors[k].detach().flatten() for k in which]))
        for k, part in zip(which, together.split([tensors[k].numel() for k in which]), strict=True):
            copies[k] = part.view(tensors[k].shape).clone()  # a view would keep, and store, the memory of all
    return [copies[k] for k in range(len(tensors))]


def _transferred(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.cpu()
