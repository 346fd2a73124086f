"""Choose where networks train and are measured; never part of a spec."""

import logging
import time
from collections.abc import Callable

import torch

from puzzles.base import paths
from puzzles.base.files import Lock

log = logging.getLogger(__name__)

_taken: list[Lock] = []  # held until this process ends


def choose_device(wanted: str) -> torch.device:
    """The device for ``auto``, ``cpu`` or ``cuda``; without a GPU the CPU, and the log says so.

    Of several GPUs a job takes one that no other job on this machine has taken, and waits while there is none.
    """
    if wanted != "cpu" and torch.cuda.is_available():
        index = _take_gpu([_identifier(k) for k in range(torch.cuda.device_count())])
        torch.cuda.set_device(index)  # streams and graphs are made on the current device
        log.info("computing on GPU %d, %s", index, torch.cuda.get_device_name(index))
        return torch.device("cuda", index)
    level = logging.WARNING if wanted == "cuda" else logging.INFO
    if wanted != "cpu":
        log.log(level, "no CUDA GPU found: computing on the CPU")
    return torch.device("cpu")


def _identifier(index: int) -> str:
    """What tells a GPU from all others, whatever its index in this process."""
    return str(torch.cuda.get_device_properties(index).uuid)


def _take_gpu(identifiers: list[str], wait: Callable[[float], None] = time.sleep) -> int:
    said = False
    while True:
        for index, identifier in enumerate(identifiers):
            lock = Lock(paths.gpu_lock(identifier))
            if lock.acquire():
                _taken.append(lock)
                return index
        if not said:
            log.info("all %d GPUs are taken by other jobs: waiting for one", len(identifiers))
            said = True
        wait(1)
