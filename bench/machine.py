"""Describe the machine that a table is measured on, and measure its peak speed."""

import os
import platform
import time

import torch

from puzzles.output.provenance import commit, processor

SIZE = {"cpu": 2048, "cuda": 8192}  # side of the matrices whose product gives the peak


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe(device: str) -> dict[str, str]:
    """Columns that say what ran."""
    name = torch.cuda.get_device_name() if device == "cuda" else f"{cores()} cores of {processor()}, {platform.machine()}"
    return {"device": name, "torch": torch.__version__, "commit": commit()}


def peak_flops(device: str, repeats: int = 5) -> float:
    """FLOP/s of a large fp32 matrix product: on one thread of the CPU; on a GPU with TF32, as its convolutions have."""
    torch.set_num_threads(1)
    size = SIZE[device]
    a, b = torch.randn(size, size, device=device), torch.randn(size, size, device=device)
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    best = float("inf")
    try:
        for _ in range(repeats):
            start = time.perf_counter()
            a @ b
            if device == "cuda":
                torch.cuda.synchronize()
            best = min(best, time.perf_counter() - start)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    return 2 * size**3 / best
