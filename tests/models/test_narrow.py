"""Arrays of few channels as whole rows: NumPy's values, with all their digits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cifar_jax.models import narrow

SHAPES = [(2, 8, 6, 3), (3, 7, 5, 15), (1, 1, 1, 1), (2, 13, 1, 2)]


def random(seed, shape):
    return np.random.default_rng(seed).normal(3, 1, shape).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
def test_add(shape):
    x, value = random(0, shape), random(1, shape[-1])
    np.testing.assert_array_equal(jax.jit(narrow.add)(x, value), x + value)
    gradient = jax.jit(jax.grad(lambda value: jnp.sum(jnp.square(narrow.add(x, value)))))(value)
    np.testing.assert_allclose(gradient, 2 * (x + value).sum((0, 1, 2)), rtol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [1, 3])
def test_totals(shape, count):
    arrays = [random(seed, shape) for seed in range(count)]
    found = jax.jit(lambda xs: narrow.totals([narrow.rows(x) for x in xs], shape[-1]))(arrays)
    for ours, x in zip(found, arrays, strict=True):
        np.testing.assert_allclose(ours, x.sum((0, 1, 2)), rtol=1e-6)


def test_a_sum_of_many_numbers_keeps_its_digits():
    """A million, one after the other in float32, would be off by some 1e-5."""
    x = np.random.default_rng(0).uniform(size=(256, 64, 64, 1)).astype(np.float32)
    (found,) = narrow.totals([narrow.rows(jnp.asarray(x))], 1)
    np.testing.assert_allclose(found[0], x.sum(dtype=np.float64), rtol=1e-6)
