"""Random labels, and two ways to corrupt a share of the labels."""

import numpy as np

from puzzles.base.randomness import generator


def random_labels(size: int, num_classes: int, seed: int, name: str) -> np.ndarray:
    """[size] labels, each uniform over all classes: the "RL" networks train and test on such labels, drawn once."""
    return generator(seed, name).integers(num_classes, size=size)


def corrupt(labels: np.ndarray, share: float, rule: str, num_classes: int, seed: int) -> np.ndarray:
    """Labels [N] of which a random share is corrupted.

    ``replace`` (Figs 9, 10, 13, 14): each label, with probability ``share``, becomes a uniformly random class, which may
    be the true one, so that about share (C - 1) / C of the labels are wrong.
    ``permute`` (Figs 5-8, 11, 12, 17, 18): the labels of round(share N) random examples are permuted among themselves.
    With one seed, the examples corrupted at a small share are also corrupted at a larger one.
    """
    if share == 0:
        return labels
    corrupted = labels.copy()
    if rule == "replace":
        mask = generator(seed, "corruption/mask").random(len(labels)) < share
        corrupted[mask] = generator(seed, "corruption/classes").integers(num_classes, size=len(labels))[mask]
    else:
        chosen = generator(seed, "corruption/examples").permutation(len(labels))[: round(share * len(labels))]
        corrupted[chosen] = labels[generator(seed, "corruption/swap").permutation(chosen)]
    return corrupted
