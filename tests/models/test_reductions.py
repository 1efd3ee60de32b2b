"""Sums over pixels: NumPy's, for any number of rows, in either formulation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_jit import quick_jit

from cifar_jax.models.ops import reductions

SHAPES = [(2, 8, 6, 3), (3, 7, 5, 4), (2, 13, 1, 2), (4, 1, 1, 5), (1, 24, 3), (2, 3, 2, 2, 6)]


def arrays():
    return [np.random.default_rng(0).normal(3, 1, shape) for shape in SHAPES]


def sums(x):
    return x.sum(tuple(range(x.ndim - 1)))


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-14)])
def test_total(dtype, tolerance):
    with jax.enable_x64(dtype == "float64"):
        given = [x.astype(dtype) for x in arrays()]
        totals = jax.device_get(quick_jit(lambda xs: list(map(reductions.total, xs)))(given))
    for ours, x in zip(totals, arrays(), strict=True):
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours, sums(x), rtol=tolerance, err_msg=str(x.shape))


@pytest.mark.parametrize("cached", [0, 2**21])
def test_totals(cached, monkeypatch):
    monkeypatch.setattr(reductions, "CACHED", cached)
    given = [(x, np.square(x), 0 * x) for x in map(np.float32, arrays())]
    totals = quick_jit(lambda given: list(map(reductions.totals, given)))(given)
    for ours, xs in zip(totals, given, strict=True):
        for our, x in zip(ours, xs, strict=True):
            np.testing.assert_allclose(our, sums(x), rtol=1e-6, err_msg=str(x.shape))


@pytest.mark.parametrize("size", [64, 31, 149])  # 31 and 149 are divided by nothing
def test_a_sum_of_many_numbers_keeps_its_digits(size):
    """A million, one after the other in float32, would be off by some 1e-5."""
    x = np.random.default_rng(0).uniform(size=(256, size, size, 1)).astype(np.float32)
    exact = x.sum(dtype=np.float64)
    np.testing.assert_allclose(reductions.total(jnp.asarray(x))[0], exact, rtol=1e-6)
