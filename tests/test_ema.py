"""The moving average against its definition."""

import jax.numpy as jnp
import numpy as np
import pytest

from cifar_jax.train import ema


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.9999])
def test_average_is_the_weighted_mean_of_what_was_seen(decay):
    seen = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    averaged = {"w": jnp.full(4, 50.0)}  # what was there before leaves no trace
    for step, new in enumerate(seen, 1):
        averaged = ema.update(averaged, {"w": jnp.asarray(new)}, jnp.int32(step), decay)
        weights = decay ** np.arange(step - 1, -1, -1, dtype=np.float64)
        expected = np.average(seen[:step], axis=0, weights=weights)
        np.testing.assert_allclose(averaged["w"], expected, rtol=1e-5, atol=2e-5)
    assert averaged["w"].dtype == jnp.float32


def test_first_average_is_the_first_step():
    averaged = ema.update(jnp.zeros(3), jnp.arange(3.0), jnp.int32(1), 0.999)
    np.testing.assert_allclose(averaged, [0, 1, 2], rtol=1e-5)
