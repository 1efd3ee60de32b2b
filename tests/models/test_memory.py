"""What is to be kept in memory: the same numbers, and XLA does write them once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cifar_jax.models.ops.materialize import materialize, materialize_once
from cifar_jax.models.ops.plain import xla_conv


@pytest.mark.parametrize("function", [materialize_once, materialize])
def test_the_same_numbers_and_gradients(function):
    x = jnp.asarray([[0.0, -1.5, 3e18], [1e-18, 7.0, -2.0]])
    np.testing.assert_array_equal(jax.jit(function)(x), x)
    np.testing.assert_array_equal(jax.grad(lambda x: jnp.vdot(function(x), x + 1))(x), 2 * x + 1)
    np.testing.assert_array_equal(jax.jvp(function, (x,), (2 * x,))[1], 2 * x)
    doubled = jax.vmap(lambda x, n: function(n * x), (None, 0))(x, jnp.arange(3.0)[:, None])
    np.testing.assert_array_equal(doubled, jnp.arange(3.0)[:, None, None] * x)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_is_no_number_stays_so(dtype):
    x = jnp.asarray([jnp.nan, jnp.inf, -jnp.inf, -0.0], dtype)
    y = materialize_once(x)
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y.astype(jnp.float32), x.astype(jnp.float32))
    assert jnp.signbit(y[-1])


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the CPU compiler's habit")
def test_it_is_computed_once():
    """Rectified images, which a convolution reads, and transposed its gradient by the kernel."""
    x, kernel = jnp.ones((8, 6, 6, 16)), jnp.ones((3, 3, 16, 16))

    def times(function):
        def loss(x, kernel):
            images = function(jax.nn.relu(2 * x + 1))
            return jnp.sum(jnp.square(xla_conv(images, kernel, padding=1)))

        return jax.jit(jax.grad(loss, 1)).lower(x, kernel).compile().as_text().count(" maximum(")

    assert times(materialize_once) == 1 < times(lambda x: x)
