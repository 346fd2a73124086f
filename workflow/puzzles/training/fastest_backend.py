"""A stacked engine that times its backends on this machine and uses the fastest."""

import json
import logging
import math
import time

import torch

from puzzles.base import paths
from puzzles.base.files import atomic
from puzzles.config.specs import batch_bounds
from puzzles.training.backends import BACKENDS
from puzzles.training.members import Member
from puzzles.training.stacked_engine import Stack, StackedEngine, see_the_same_images, stackable

log = logging.getLogger(__name__)

WARM_UP, STEPS = 3, 10
COMPILING_PAYS = 300.0  # seconds of training left; compiling a step takes up to a minute and saves only a part of them


class MeasuredEngine(StackedEngine):
    """A stacked engine that times every backend once for each (architecture, P, device) and uses the fastest from then on.

    Backends that must be compiled are tried only if the training left is long enough to make up for compiling.
    """

    def new_stack(self, members: list[Member]) -> Stack:
        """The members as a stack with the fastest backend."""
        key = backend_key(members)
        known = _remembered()
        if key not in known:
            times = {name: step_seconds(members, name) for name, b in BACKENDS.items() if not b.compiled}
            if all(math.isinf(seconds) for seconds in times.values()):
                return Stack(members, "loop")  # its training will raise the reason (too little memory, most likely)
            if min(times.values()) * steps_to_come(members) >= COMPILING_PAYS:
                times |= {name: step_seconds(members, name) for name, b in BACKENDS.items() if b.compiled}
            known = _remembered() | {key: min(times, key=times.__getitem__)}
            paths.BACKEND_CHOICES.parent.mkdir(parents=True, exist_ok=True)
            with atomic(paths.BACKEND_CHOICES) as temporary:
                temporary.write_text(json.dumps(known, indent=1, sort_keys=True))
            seconds = ", ".join(f"{name} {1000 * s:.2f} ms" for name, s in times.items())
            log.info("one step of %d networks: %s; using %s from now on", len(members), seconds, known[key])
        return Stack(members, known[key])


def backend_key(members: list[Member]) -> str:
    """The conditions that a choice of backend holds for: the shape of a step, the number of networks, the device."""
    device = next(members[0].network.parameters()).device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    images = "the same images" if see_the_same_images(members) else "images of their own"
    return f"{stackable(members[0])!r} P={len(members)} with {images} on {name}"


def steps_to_come(members: list[Member]) -> int:
    """The number of steps that the members, as one stack, still have to make."""
    return max(
        (m.spec.last_epoch - m.epoch) * len(batch_bounds(len(m.examples.train_y), m.spec.batch_size)) for m in members
    )


def step_seconds(members: list[Member], backend: str) -> float:
    """Seconds of one step, timed on a temporary stack; infinite if the backend does not work here.

    It may need more memory than there is, or a compiler that is not there.
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
    return json.loads(paths.BACKEND_CHOICES.read_text()) if paths.BACKEND_CHOICES.is_file() else {}
