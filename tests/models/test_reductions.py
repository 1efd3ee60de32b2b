"""Sums over pixels: NumPy's, for any number of rows, in either formulation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cifar_jax.models import reductions

SHAPES = [(2, 8, 6, 3), (3, 7, 5, 4), (2, 13, 1, 2), (4, 1, 1, 5), (1, 24, 3), (2, 3, 2, 2, 6)]


@pytest.mark.parametrize("shape", SHAPES)
def test_total(shape):
    x = np.random.default_rng(0).normal(3, 1, shape)
    expected = x.sum(tuple(range(len(shape) - 1)))
    np.testing.assert_allclose(reductions.total(jnp.float32(x)), expected, rtol=1e-6)
    with jax.enable_x64(True):
        np.testing.assert_allclose(reductions.total(jnp.asarray(x)), expected, rtol=1e-14)


@pytest.mark.parametrize("cached", [0, 2**21])
@pytest.mark.parametrize("shape", SHAPES)
def test_totals(shape, cached, monkeypatch):
    monkeypatch.setattr(reductions, "CACHED", cached)
    x = np.random.default_rng(0).normal(3, 1, shape).astype(np.float32)
    given = x, np.square(x), 0 * x
    expected = [each.sum(tuple(range(len(shape) - 1))) for each in given]
    for ours, numpys in zip(jax.jit(reductions.totals)(given), expected, strict=True):
        np.testing.assert_allclose(ours, numpys, rtol=1e-6)


@pytest.mark.parametrize("size", [64, 31, 149])  # 31 and 149 are divided by nothing
def test_a_sum_of_many_numbers_keeps_its_digits(size):
    """A million, one after the other in float32, would be off by some 1e-5."""
    x = np.random.default_rng(0).uniform(size=(256, size, size, 1)).astype(np.float32)
    exact = x.sum(dtype=np.float64)
    np.testing.assert_allclose(reductions.total(jnp.asarray(x))[0], exact, rtol=1e-6)
