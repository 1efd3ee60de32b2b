"""Small arrays of a loop's state as one."""

import jax
import jax.numpy as jnp
import numpy as np

from cifar_jax.train.packing import packing


def test_it_comes_back_as_it_was_and_what_is_small_is_one_array_of_each_type():
    tree = {
        "kernel": jnp.arange(36.0).reshape(3, 3, 2, 2),
        "dense": jnp.arange(6.0).reshape(2, 3),
        "bias": jnp.array([7.0, 8.0, 9.0]),
        "step": jnp.int32(3),
        "rate": jnp.float32(0.1),
        "half": jnp.ones(2, jnp.bfloat16),
        "none": {},
        "empty": jnp.zeros(0),
    }
    pack, unpack = packing(tree)
    vectors, others = jax.jit(pack)(tree)
    np.testing.assert_array_equal(vectors["float32"], np.float32([7, 8, 9, 0.1]))
    assert vectors.keys() == {"float32", "int32", "bfloat16"}
    assert [each.shape for each in others] == [(2, 3), (2, 3, 3, 2)]
    again = jax.jit(unpack)((vectors, others))
    jax.tree.map(np.testing.assert_array_equal, again, tree)
    kinds = [jax.tree.map(lambda x: (x.shape, x.dtype), each) for each in (again, tree)]
    assert kinds[0] == kinds[1]
