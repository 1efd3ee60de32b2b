"""Formulations of max pooling over squares side by side, [B, H, W, C] -> [B, H // n, W // n, C].

Odd ends are dropped. The gradient goes to the first of equal maxima, row by row, as in PyTorch.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax


def xla_max_pool(x, window):
    """XLA's own max pooling."""
    shape = (1, window, window, 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, shape, shape, "VALID")


def sliced_max_pool(x, window):
    """Maximum of window x window strided slices.

    XLA runs the gradient of its own pooling as plain loops on the CPU. Here it is one elementwise
    operation, given the place of each maximum.
    """
    _, height, width, _ = x.shape
    return _pool_whole(x[:, : height - height % window, : width - width % window], window)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _pool_whole(x, window):
    return _max_and_place(x, window)[0]


def _max_and_place(x, window):
    maximum = place = None
    for index in range(window * window):
        row, col = divmod(index, window)
        candidate = x[:, row::window, col::window]
        if maximum is None:
            maximum, place = candidate, jnp.zeros(candidate.shape, jnp.int8)
        else:
            place = jnp.where(candidate > maximum, jnp.int8(index), place)
            maximum = jnp.maximum(candidate, maximum)
    return maximum, place


def _backward(window, place, grad):
    batch, height, width, channels = grad.shape
    index = jnp.arange(window * window, dtype=jnp.int8).reshape(window, 1, window, 1)
    is_maximum = place[:, :, None, :, None] == index
    spread = jnp.where(is_maximum, grad[:, :, None, :, None], 0)
    return (spread.reshape(batch, height * window, width * window, channels),)


_pool_whole.defvjp(_max_and_place, _backward)
