"""Which arithmetic convolutions and products use, whatever the user has set for PyTorch."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

# By torch's newer names: the older ones (``allow_tf32``) cannot be read where the user has used the newer ones.
ON_A_GPU = (torch.backends.cudnn.conv, torch.backends.cuda.matmul)  # type: ignore[attr-defined]  # made at import
ON_A_CPU = (torch.backends.mkldnn.conv, torch.backends.mkldnn.matmul)  # type: ignore[attr-defined]
NAMES = {"fp32": "ieee", "tf32": "tf32"}  # a spec's precision, in torch's words


@contextmanager
def arithmetic(precision: str, benchmark: bool = False, deterministic: bool | None = None) -> Iterator[None]:
    """Compute in ``fp32`` (IEEE's single precision) or, on a GPU, ``tf32``: never in bfloat16.

    Args:
        benchmark: whether cuDNN may choose its algorithms by timing them; their results differ in the last digits.
        deterministic: whether it must choose one that gives the same bits every time; as it is set unless given.
    """
    wanted: list[tuple[object, str, object]] = [(owner, "fp32_precision", NAMES[precision]) for owner in ON_A_GPU]
    wanted += [(owner, "fp32_precision", "ieee") for owner in ON_A_CPU]
    wanted.append((torch.backends.cudnn, "benchmark", benchmark))
    if deterministic is not None:
        wanted.append((torch.backends.cudnn, "deterministic", deterministic))
    before = [getattr(owner, name) for owner, name, _ in wanted]
    try:
        for owner, name, value in wanted:
            setattr(owner, name, value)
        yield
    finally:
        for (owner, name, _), value in zip(wanted, before, strict=True):
            setattr(owner, name, value)
