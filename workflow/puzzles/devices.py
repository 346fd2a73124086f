"""Where networks train and what steps them: chosen by measurement, never part of a spec."""

import json
import logging
import math
import time

import torch

from puzzles import paths
from puzzles.backends import BACKENDS
from puzzles.batches import batch_bounds
from puzzles.files import Lock, atomic
from puzzles.members import Member
from puzzles.stacked_engine import Stack, StackedEngine, see_the_same_images, stackable

log = logging.getLogger(__name__)

WARM_UP, STEPS = 3, 10
COMPILING_PAYS = 300.0  # seconds of training: compiling a step takes up to a minute, and saves a part of them
_taken: list[Lock] = []  # held until this process ends


def choose_device(wanted: str) -> torch.device:
    """The device for ``auto``, ``cpu`` or ``cuda``; the CPU, with a line that says so, where there is no GPU.

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


class MeasuredEngine(StackedEngine):
    """A stacked engine that times every backend once for each (architecture, P, device) and remembers which won.

    One that must be compiled is tried only where the training before us is long enough to earn the minute back.
    """

    def new_stack(self, members: list[Member]) -> Stack:
        """The members as a stack with the fastest backend."""
        key = backend_key(members)
        known = _remembered()
        if key not in known:
            times = {name: step_seconds(members, name) for name, b in BACKENDS.items() if not b.compiled}
            if all(math.isinf(seconds) for seconds in times.values()):
                return Stack(members, "loop")  # whatever is wrong (memory, most likely) is said when it trains
            if min(times.values()) * steps_to_come(members) >= COMPILING_PAYS:
                times |= {name: step_seconds(members, name) for name, b in BACKENDS.items() if b.compiled}
            known = _remembered() | {key: min(times, key=times.get)}
            paths.BACKENDS.parent.mkdir(parents=True, exist_ok=True)
            with atomic(paths.BACKENDS) as temporary:
                temporary.write_text(json.dumps(known, indent=1, sort_keys=True))
            seconds = ", ".join(f"{name} {1000 * s:.2f} ms" for name, s in times.items())
            log.info("one step of %d networks: %s; using %s from now on", len(members), seconds, known[key])
        return Stack(members, known[key])


def backend_key(members: list[Member]) -> str:
    """What a choice of backend is good for: the shape of a step, how many networks, the device."""
    device = next(members[0].network.parameters()).device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    images = "the same images" if see_the_same_images(members) else "images of their own"
    return f"{stackable(members[0])!r} P={len(members)} with {images} on {name}"


def steps_to_come(members: list[Member]) -> int:
    """The steps that the members have before them, together as one stack."""
    return max(
        (m.spec.last_epoch - m.epoch) * len(batch_bounds(len(m.examples.train_y), m.spec.batch_size)) for m in members
    )


def step_seconds(members: list[Member], backend: str) -> float:
    """Seconds of one step of a stack that is thrown away; infinite where the backend does not work here.

    It may need more memory than there is, or a compiler where there is none.
    """
    try:
        scratch = Stack(members, backend)
        size = min(members[0].spec.batch_size, scratch.order.shape[1])
        scratch.time_steps(WARM_UP, size)
        start = time.perf_counter()
        scratch.time_steps(STEPS, size)
        return (time.perf_counter() - start) / STEPS
    except RuntimeError as reason:
        log.info("backend %s does not work here: %s", backend, str(reason).strip().split("\n")[0])
        return math.inf


def _remembered() -> dict[str, str]:
    return json.loads(paths.BACKENDS.read_text()) if paths.BACKENDS.is_file() else {}
