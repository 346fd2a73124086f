"""Label corruption by its two rules, and random labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from puzzles.data.labels import corrupt, random_labels

LABELS = np.arange(5000) % 10


@given(share=st.floats(0.01, 1), seed=st.integers(0, 1000))
def test_permuting_swaps_labels_among_a_share_of_the_examples(share: float, seed: int) -> None:
    corrupted = corrupt(LABELS, share, "permute", 10, seed)
    assert np.array_equal(np.bincount(corrupted), np.bincount(LABELS))
    changed = (corrupted != LABELS).sum()
    assert changed <= round(share * len(LABELS))
    assert changed == pytest.approx(0.9 * share * len(LABELS), abs=5 * np.sqrt(len(LABELS) * share) + 5)


@given(share=st.floats(0.01, 1), seed=st.integers(0, 1000))
def test_replacing_draws_any_class_so_that_nine_tenths_are_wrong(share: float, seed: int) -> None:
    corrupted = corrupt(LABELS, share, "replace", 10, seed)
    changed = (corrupted != LABELS).mean()
    assert changed == pytest.approx(0.9 * share, abs=5 * np.sqrt(share / len(LABELS)) + 0.002)


@pytest.mark.parametrize("rule", ["permute", "replace"])
def test_corruption_is_repeatable_and_leaves_its_input_alone(rule: str) -> None:
    before = LABELS.copy()
    first, again = (corrupt(LABELS, 0.3, rule, 10, 5) for _ in range(2))
    assert np.array_equal(first, again)
    assert np.array_equal(LABELS, before)
    assert not np.array_equal(first, corrupt(LABELS, 0.3, rule, 10, 6))
    assert corrupt(LABELS, 0, rule, 10, 5) is LABELS


def test_a_larger_share_corrupts_the_same_examples_and_more() -> None:
    small, large = (corrupt(LABELS, share, "replace", 10, 1) for share in (0.2, 0.5))
    wrong = small != LABELS
    assert np.array_equal(small[wrong], large[wrong])


def test_random_labels_are_uniform() -> None:
    labels = random_labels(20_000, 10, 3, "random_labels/train")
    assert np.abs(np.bincount(labels, minlength=10) - 2000).max() < 250
    assert not np.array_equal(labels[:100], random_labels(100, 10, 3, "random_labels/test"))
