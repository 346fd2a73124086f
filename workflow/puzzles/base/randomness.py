"""Random generators: each kind of draw has its own, so that no draw depends on another."""

import hashlib

import numpy as np


def generator(seed: int, name: str, *index: int) -> np.random.Generator:
    """The generator of one kind of draw, e.g. ``generator(3, "batch_order", epoch)``.

    Generators with another seed, name or index are statistically independent (``numpy.random.SeedSequence``).
    """
    # hashed together: SeedSequence pads with zeros, so that [seed, word] and [seed, word, 0] would be the same
    word = hashlib.sha256("/".join([name, *map(str, index)]).encode()).digest()
    return np.random.default_rng(np.random.SeedSequence([seed, int.from_bytes(word[:16], "big")]))
