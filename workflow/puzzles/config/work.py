"""How much there is to compute, from the configuration alone: to ask a cluster for enough time, to say how long it takes."""

import contextlib
import zipfile
from collections.abc import Iterable
from pathlib import Path

from puzzles.config.builders import multiply_adds
from puzzles.config.checks import known_form
from puzzles.config.own_code import is_own
from puzzles.config.specs import NetworkSpec

PASSES = 3  # forward, and twice as much backward
UNKNOWN = (32, 3, 50_000)  # side, channels and examples of a data set that nobody has seen yet
OWN = 10_000_000  # multiplications for an image in a network of the user's: nobody has counted them
TEST_SHARE = 0.2  # of the training examples
# Operations per second to count on: a quarter of what one core of 2020 reached, and a hundredth of what a GPU's maker says.
SPEED = {"cpu": 12e9, "gpu": 6e11}
# What a step costs beside its operations, in operations: the networks of 16 and 24 filters that `make bench` trains on
# digits take 4 to 5 ms a step, hardly any of it arithmetic, where a core computes 6e10 operations a second.
STEP = 2.5e8
START_MINUTES = 15  # to start, read the data and write the files, with a margin


def operations(spec: NetworkSpec, dataset: dict) -> float:
    """Floating-point operations of training and evaluating a network to its last epoch.

    Args:
        dataset: the configuration of its data set.
    """
    side, channels, examples = known_form(dataset) or UNKNOWN
    size = spec.train_size or examples
    forward = _forward(spec, channels, side)
    evaluations = spec.last_epoch // spec.evaluate_every + 2
    return forward * (PASSES * size * spec.last_epoch + (size + TEST_SHARE * examples) * evaluations)


def work(spec: NetworkSpec, form: tuple[int, int, int]) -> float:
    """What a network costs up to ``epochs``, in operations, with what each step costs beside them.

    Where training goes on until zero training error, nobody knows how long, so that what comes after ``epochs`` is left out.

    Args:
        form: side, channels and number of training examples of its data set.
    """
    side, channels, examples = form
    size = spec.train_size or examples
    forward = _forward(spec, channels, side)
    evaluations = spec.epochs // spec.evaluate_every + 2
    steps = spec.epochs * -(-size // spec.batch_size) + evaluations
    return forward * (PASSES * size * spec.epochs + (size + TEST_SHARE * examples) * evaluations) + STEP * steps


def _forward(spec: NetworkSpec, channels: int, side: int) -> int:
    """Operations of one image's forward pass."""
    own = is_own(spec.architecture.builder)
    return 2 * (OWN if own else multiply_adds(spec.architecture, channels, spec.image_size or side))


def form_of(dataset: dict, files: Iterable[Path]) -> tuple[int, int, int]:
    """Side, channels and number of training examples of a data set: known, or as its file says, or else ``UNKNOWN``.

    Args:
        dataset: its configuration.
        files: npz files that may hold it; the first that can be read counts.
    """
    known = known_form(dataset)
    if known is not None:
        return known
    for file in files:
        with contextlib.suppress(OSError, KeyError, ValueError, zipfile.BadZipFile):
            shape = _shape(file)
            return max(shape[1:3]), shape[3] if len(shape) == 4 else 1, shape[0]
    return UNKNOWN


def _shape(file: Path) -> tuple[int, ...]:
    """The shape of ``train_x`` in an npz file, without reading it."""
    from numpy.lib import format as npy  # most data sets are known without numpy

    with zipfile.ZipFile(file) as archive, archive.open("train_x.npy") as array:
        read = npy.read_array_header_1_0 if npy.read_magic(array) == (1, 0) else npy.read_array_header_2_0
        return tuple(read(array)[0])


def minutes(specs: list[NetworkSpec], dataset: dict, threads: int, gpu: bool) -> int:
    """Minutes to ask for, for a job that trains these networks: on a CPU with one thread each, on a GPU together."""
    work = [operations(spec, dataset) for spec in specs]
    if not work:
        return START_MINUTES
    longest = sum(work) if gpu else max(sum(work) / max(1, threads), max(work))
    return START_MINUTES + round(longest / SPEED["gpu" if gpu else "cpu"] / 60)
