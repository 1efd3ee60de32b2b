"""The stratified split holds its promises for any labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifar_jax.data import stratified_split

LABELS = st.lists(st.integers(0, 9), max_size=200)
FRACTIONS = st.floats(0, 1)
SEEDS = st.integers(0, 2**32 - 1)


@given(LABELS, FRACTIONS, SEEDS)
def test_properties(labels, fraction, seed):
    labels = np.array(labels, np.int32)
    train, validation = stratified_split(labels, fraction, seed)
    assert np.array_equal(np.sort(np.concatenate([train, validation])), np.arange(len(labels)))
    assert np.array_equal(train, np.sort(train))
    assert np.array_equal(validation, np.sort(validation))
    for label in np.unique(labels):
        expected = round(fraction * np.sum(labels == label))
        assert np.sum(labels[validation] == label) == expected
    again = stratified_split(labels, fraction, seed)
    assert np.array_equal(train, again[0])
    assert np.array_equal(validation, again[1])


def test_seeds_differ():
    labels = np.arange(1000) % 10
    first, second = (stratified_split(labels, 0.1, seed)[1] for seed in (0, 1))
    assert not np.array_equal(first, second)


def test_is_pinned():
    """A changed stream would silently change every validation set."""
    assert stratified_split([0, 1] * 10, 0.3, 0)[1].tolist() == [0, 3, 8, 9, 18, 19]


def test_zero_is_empty():
    train, validation = stratified_split([3, 3, 1], 0, 0)
    assert train.tolist() == [0, 1, 2]
    assert validation.size == 0
    assert np.issubdtype(validation.dtype, np.integer)


@pytest.mark.parametrize("labels, fraction", [([0], -0.1), ([0], 1.1), ([[0]], 0.5)])
def test_refuses(labels, fraction):
    with pytest.raises(ValueError, match="must"):
        stratified_split(labels, fraction, 0)
