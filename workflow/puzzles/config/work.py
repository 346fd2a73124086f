"""How much there is to compute, from the configuration alone: to ask a cluster for enough time, to say how long it takes."""

import contextlib
import zipfile
from collections.abc import Iterable
from pathlib import Path

from puzzles.config.checks import known_form
from puzzles.config.specs import Architecture, NetworkSpec

PASSES = 3  # forward, and twice as much backward
UNKNOWN = (32, 3, 50_000)  # side, channels and examples of a data set that nobody has seen yet
TEST_SHARE = 0.2  # of the training examples
# Operations per second to count on: a quarter of what one core of 2020 reached, and a hundredth of what a GPU's maker says.
SPEED = {"cpu": 12e9, "gpu": 6e11}
# What a step costs beside its operations, in operations: the networks of 16 and 24 filters that `make bench` trains on
# digits take 4 to 5 ms a step, hardly any of it arithmetic, where a core computes 6e10 operations a second.
STEP = 2.5e8
START_MINUTES = 15  # to start, read the data and write the files, with a margin


def multiply_adds(architecture: Architecture, channels: int, side: int, classes: int = 10) -> int:
    """Multiplications of one image's forward pass, as ``networks.architectures.build`` makes the network."""
    a = architecture
    if a.builder == "resnet":
        total, blocks, width = 9 * channels * 16 * side**2, (a.depth - 2) // 6, 16
        for stage, out in enumerate((16, 32, 64)):
            side = side if stage == 0 else -(-side // 2)
            total += 9 * side**2 * (width * out + out * out * (2 * blocks - 1))
            width = out
        return total + 64 * classes
    kernel, stride, padding, filters = a.kernel, a.stride, a.padding, a.widths
    if a.builder == "five_layer":
        kernel, stride, padding, filters = 3, 2, 1, a.widths[:-1]
    total = 0
    for width in filters:
        side = (side + 2 * padding - kernel) // stride + 1
        total += kernel**2 * channels * width * side**2
        channels = width
    hidden = a.widths[-1:] if a.builder == "five_layer" else ()
    features = channels * side**2
    for width in (*hidden, classes):
        total += features * width
        features = width
    return total


def operations(spec: NetworkSpec, dataset: dict) -> float:
    """Floating-point operations of training and evaluating a network to its last epoch.

    Args:
        dataset: the configuration of its data set.
    """
    side, channels, examples = known_form(dataset) or UNKNOWN
    size = spec.train_size or examples
    forward = 2 * multiply_adds(spec.architecture, channels, spec.image_size or side)
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
    forward = 2 * multiply_adds(spec.architecture, channels, spec.image_size or side)
    evaluations = spec.epochs // spec.evaluate_every + 2
    steps = spec.epochs * -(-size // spec.batch_size) + evaluations
    return forward * (PASSES * size * spec.epochs + (size + TEST_SHARE * examples) * evaluations) + STEP * steps


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
