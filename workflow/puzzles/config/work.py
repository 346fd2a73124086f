"""How much there is to compute, from the configuration alone: so that a cluster can be asked for enough time."""

from puzzles.config.checks import known_form
from puzzles.config.specs import Architecture, NetworkSpec

PASSES = 3  # forward, and twice as much backward
UNKNOWN = (32, 3, 50_000)  # side, channels and examples of a data set that nobody has seen yet
TEST_SHARE = 0.2  # of the training examples
# Operations per second to count on: a quarter of what one core of 2020 reached, and a hundredth of what a GPU's maker says.
SPEED = {"cpu": 12e9, "gpu": 6e11}
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


def minutes(specs: list[NetworkSpec], dataset: dict, threads: int, gpu: bool) -> int:
    """Minutes to ask for, for a job that trains these networks: on a CPU with one thread each, on a GPU together."""
    work = [operations(spec, dataset) for spec in specs]
    if not work:
        return START_MINUTES
    longest = sum(work) if gpu else max(sum(work) / max(1, threads), max(work))
    return START_MINUTES + round(longest / SPEED["gpu" if gpu else "cpu"] / 60)
