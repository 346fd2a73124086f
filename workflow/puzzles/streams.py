"""Named random streams: every draw has its own, so that no draw depends on another or on a neighbouring network."""

import hashlib

import numpy as np


def stream(seed: int, name: str, *index: int) -> np.random.Generator:
    """The generator of one kind of draw, e.g. ``stream(3, "batch_order", epoch)``.

    Streams with another seed, name or index are statistically independent (``numpy.random.SeedSequence``).
    """
    word = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return np.random.default_rng(np.random.SeedSequence([seed, word, *index]))
