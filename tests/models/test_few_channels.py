"""Arrays of few channels as whole rows: NumPy's values, with all their digits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_jit import quick_jit

from cifar_jax.models.ops import few_channels

SHAPES = [(2, 8, 6, 3), (3, 7, 5, 15), (1, 1, 1, 1), (2, 13, 1, 2)]


def random(seed, shape):
    return np.random.default_rng(seed).normal(3, 1, shape).astype(np.float32)


def test_add():
    given = [(random(0, shape), random(1, shape[-1])) for shape in SHAPES]

    @quick_jit
    def added(given):
        def sum_of_squares(value, x):
            return jnp.sum(jnp.square(few_channels.add(x, value)))

        return [
            (few_channels.add(x, value), jax.grad(sum_of_squares)(value, x)) for x, value in given
        ]

    for (total, gradient), (x, value) in zip(added(given), given, strict=True):
        np.testing.assert_array_equal(total, x + value)
        np.testing.assert_allclose(gradient, 2 * (x + value).sum((0, 1, 2)), rtol=1e-5)


@pytest.mark.parametrize("count", [1, 3])
def test_totals(count):
    given = [[random(seed, shape) for seed in range(count)] for shape in SHAPES]

    @quick_jit
    def totals(given):
        return [
            few_channels.totals(list(map(few_channels.rows, xs)), xs[0].shape[-1]) for xs in given
        ]

    for sums, xs in zip(totals(given), given, strict=True):
        for ours, x in zip(sums, xs, strict=True):
            np.testing.assert_allclose(ours, x.sum((0, 1, 2)), rtol=1e-6)


def test_a_sum_of_many_numbers_keeps_its_digits():
    """A million, one after the other in float32, would be off by some 1e-5."""
    x = np.random.default_rng(0).uniform(size=(256, 64, 64, 1)).astype(np.float32)
    (sums,) = few_channels.totals([few_channels.rows(jnp.asarray(x))], 1)
    np.testing.assert_allclose(sums[0], x.sum(dtype=np.float64), rtol=1e-6)
