"""How much there is to compute, from the configuration alone: so that a cluster can be asked for enough time."""

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
START_MINUTES = 15  # to start, read the data and write the files, with a margin


def operations(spec: NetworkSpec, dataset: dict) -> float:
    """Floating-point operations of training and evaluating a network to its last epoch.

    Args:
        dataset: the configuration of its data set.
    """
    side, channels, examples = known_form(dataset) or UNKNOWN
    size = spec.train_size or examples
    own = is_own(spec.architecture.builder)
    forward = 2 * (OWN if own else multiply_adds(spec.architecture, channels, spec.image_size or side))
    evaluations = spec.last_epoch // spec.evaluate_every + 2
    return forward * (PASSES * size * spec.last_epoch + (size + TEST_SHARE * examples) * evaluations)


def minutes(specs: list[NetworkSpec], dataset: dict, threads: int, gpu: bool) -> int:
    """Minutes to ask for, for a job that trains these networks: on a CPU with one thread each, on a GPU together."""
    work = [operations(spec, dataset) for spec in specs]
    if not work:
        return START_MINUTES
    longest = sum(work) if gpu else max(sum(work) / max(1, threads), max(work))
    return START_MINUTES + round(longest / SPEED["gpu" if gpu else "cpu"] / 60)
