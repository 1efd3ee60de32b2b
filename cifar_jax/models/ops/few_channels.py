"""Arrays of few channels as whole rows, for XLA's CPU compiler.

Its loops over [B, H, W, C] are vectorised over the C numbers of a pixel, and where it goes from one shape to another
within a loop it divides for each number to find out its channel. With few channels that is most of the time: over
[B, H, W C], with what belongs to a channel written out for each pixel of a row, the same loop takes a fifth.
"""

import jax.numpy as jnp
from jax import lax

from cifar_jax.models.ops import reductions

CHANNELS = 16  # less are few: so many float32 fill the widest vector


def has_few(x):
    """Return whether x is [B, H, W, C] with few channels."""
    return x.ndim == 4 and x.shape[-1] < CHANNELS


def rows(x):
    """Reshape [B, H, W, C] -> [B, H, W C]."""
    return x.reshape(*x.shape[:2], -1)


def along(value, width):
    """Repeat [C] -> [W C], once a pixel; by a matrix product, as XLA computes a repetition anew for each number."""
    channels = len(value)
    once_each = jnp.tile(jnp.eye(channels, dtype=value.dtype), (1, width))
    return jnp.matmul(value, once_each, precision=lax.Precision.HIGHEST)


def totals(arrays, channels):
    """Sum arrays [B, H, W C] over all pixels, each -> [C].

    8 rows of an image, or as many as divide its height, become one, and a matrix product sums over the rest.
    """
    height, width = arrays[0].shape[1:]
    parts = max(n for n in range(1, 9) if height % n == 0)
    folded = _fold([x.reshape(-1, parts, height // parts, width) for x in arrays])
    return tuple(_total(x.reshape(-1, width), channels) for x in folded)


def _fold(arrays):
    """Sum over the second axis; several arrays in one reduction."""
    if len(arrays) == 1:
        return [sum(arrays[0][:, part] for part in range(arrays[0].shape[1]))]
    return reductions.sums(arrays, (1,))


def _total(x, channels):
    of_columns = jnp.matmul(jnp.ones(len(x), x.dtype), x, precision=lax.Precision.HIGHEST)
    return jnp.sum(of_columns.reshape(-1, channels), axis=0)


def add(x, value):
    """Add value [C] to x [B, H, W, C]."""
    return (rows(x) + along(value, x.shape[2])).reshape(x.shape)
