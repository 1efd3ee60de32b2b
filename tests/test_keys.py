"""Keys that compile fast draw what JAX's own draw, bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiers import tiered

from cifar_jax import models
from cifar_jax.machine import compilation
from cifar_jax.train import hyper, keys, optimizers, state

DRAWS = {
    "uniform": lambda key: jax.random.uniform(key, (3, 5), minval=-0.3, maxval=0.2),
    "scalar": jax.random.uniform,
    "empty": lambda key: jax.random.uniform(key, (0, 2)),
    "normal": lambda key: jax.random.normal(key, (7,)),
    "beta": lambda key: jax.random.beta(key, 0.4, 0.4),
    "bernoulli": lambda key: jax.random.bernoulli(key, 0.3, (2, 3, 4)),
    "randint": lambda key: jax.random.randint(key, (6, 2), 0, 9),
    "permutation": lambda key: jax.random.permutation(key, 300),
    "bits of 8": lambda key: jax.random.bits(key, (5,), "uint8"),
    "bits of 16": lambda key: jax.random.bits(key, (5,), "uint16"),
    "of a split": lambda key: jax.vmap(jax.random.normal)(jax.random.split(key, (2, 3))[1]),
    "of another key": lambda key: jax.random.normal(jax.random.fold_in(key, 2**31 + 5)),
    "of many keys": lambda key: jax.vmap(
        lambda i: jax.random.uniform(jax.random.fold_in(key, i), (3,))
    )(jnp.arange(4)),
}


@pytest.mark.parametrize("name", tiered(list(DRAWS), [name for name in DRAWS if name != "beta"]))
def test_a_draw_has_the_bits_of_jax(name):
    own = jax.random.PRNGKey(2**31 + 11)
    draw = jax.jit(DRAWS[name])
    expected, drawn = draw(own), draw(keys.fast(own))
    assert drawn.dtype == expected.dtype
    np.testing.assert_array_equal(drawn, expected)


def test_float64_draws_have_the_bits_of_jax():
    with jax.enable_x64(True):
        own = jax.random.PRNGKey(7)
        drawn = jax.random.uniform(keys.fast(own), (9,), np.float64)
        np.testing.assert_array_equal(drawn, jax.random.uniform(own, (9,), np.float64))


def test_a_key_draws_as_jax_where_it_is_mapped():
    many = jax.random.split(jax.random.PRNGKey(3), 5)
    drawn = jax.jit(jax.vmap(lambda key: jax.random.normal(keys.fast(key), (2, 3))))(many)
    expected = jax.vmap(lambda key: jax.random.normal(key, (2, 3)))(many)
    np.testing.assert_array_equal(drawn, expected)


# A model of each initializer: PyTorch's default, Glorot's, the identity, ones and zeros.
@pytest.mark.thorough
@pytest.mark.parametrize("name", ["basic_net", "big_net_improved", "airbench_net"])
def test_a_run_starts_from_the_parameters_that_its_model_draws(name):
    model, shape = models.create(name), models.lookup(name).input_shape
    optimizer = optimizers.make_optimizer("sgd")
    start = state.create_state(model, optimizer, hyper.make_hyper(0.1), 5, shape)
    key = jax.random.fold_in(jax.random.PRNGKey(5), state.INIT)
    # Deviations, of which airbench_net's head is made, round otherwise in a program that is optimised more.
    expected = compilation.jit_once(model.init)(key, jnp.zeros((1, *shape)))["params"]
    jax.tree.map(np.testing.assert_array_equal, start.params, expected)


def test_a_draw_is_no_loop_within_the_program():
    draw = jax.jit(lambda key: jax.random.uniform(jax.random.fold_in(keys.fast(key), 1), (4, 4)))
    assert "while" not in draw.lower(jax.random.PRNGKey(0)).as_text()
