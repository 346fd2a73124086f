"""Choose where networks train and are measured; never part of a spec."""

import logging

import torch

from puzzles.base import paths
from puzzles.base.files import Lock

log = logging.getLogger(__name__)

_taken: list[Lock] = []  # held until this process ends


def choose_device(wanted: str) -> torch.device:
    """The device for ``auto``, ``cpu`` or ``cuda``; without a GPU the CPU, and the log says so.

    Of several GPUs a job takes one that no other job on this machine has taken; only when all are taken it shares the first
    (Snakemake's resource ``gpu`` starts no more jobs than there are GPUs, unless it is told to).
    """
    if wanted != "cpu" and torch.cuda.is_available():
        index = _take_gpu(torch.cuda.device_count())
        torch.cuda.set_device(index)  # streams and graphs are made on the current device
        log.info("computing on GPU %d, %s", index, torch.cuda.get_device_name(index))
        return torch.device("cuda", index)
    level = logging.WARNING if wanted == "cuda" else logging.INFO
    if wanted != "cpu":
        log.log(level, "no CUDA GPU found: computing on the CPU")
    return torch.device("cpu")


def _take_gpu(count: int) -> int:
    for index in range(count):
        lock = Lock(paths.gpu_lock(index))
        if lock.acquire():
            _taken.append(lock)
            return index
    log.warning("all GPUs are taken by other jobs: sharing GPU 0")
    return 0
