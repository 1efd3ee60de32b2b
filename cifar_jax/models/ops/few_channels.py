"""Arrays of few channels as whole rows, for XLA's CPU compiler.

Its loops over [B, H, W, C] are vectorised over the C numbers of a pixel, and where it goes from one shape to another
within a loop it divides for each number to find out its channel. With few channels that is most of the time: over
[B, H, W C], with what belongs to a channel written out for each pixel of a row, the same loop takes a fifth.
"""

import jax.numpy as jnp
from jax import lax

CHANNELS = 16  # less are few: so many float32 fill the widest vector


def is_narrow(x):
    """Whether x is [B, H, W, C] with few channels."""
    return x.ndim == 4 and x.shape[-1] < CHANNELS


def rows(x):
    """[B, H, W, C] -> [B, H, W C]."""
    return x.reshape(*x.shape[:2], -1)


def along(value, width):
    """[C] -> [W C], once for each pixel; by a matrix product, as XLA computes a repetition anew for each number."""
    channels = len(value)
    once_each = jnp.tile(jnp.eye(channels, dtype=value.dtype), (1, width))
    return jnp.matmul(value, once_each, precision=lax.Precision.HIGHEST)


def totals(arrays, channels):
    """The sums over all pixels of arrays [B, H, W C], each [C]: 8 rows of an image, or as many as divide them, become
    one, and a matrix product sums over what is left.
    """
    height, width = arrays[0].shape[1:]
    parts = max(n for n in range(1, 9) if height % n == 0)
    folded = _fold([x.reshape(-1, parts, height // parts, width) for x in arrays])
    return tuple(_total(x.reshape(-1, width), channels) for x in folded)


def _fold(arrays):
    """The sums over the second axis; of several arrays in one reduction, so that what they share is computed once."""
    if len(arrays) == 1:
        return [sum(arrays[0][:, part] for part in range(arrays[0].shape[1]))]

    def add(ours, theirs):
        return tuple(x + y for x, y in zip(ours, theirs, strict=True))

    return lax.reduce(arrays, [jnp.zeros((), x.dtype) for x in arrays], add, (1,))


def _total(x, channels):
    of_columns = jnp.matmul(jnp.ones(len(x), x.dtype), x, precision=lax.Precision.HIGHEST)
    return jnp.sum(of_columns.reshape(-1, channels), axis=0)


def add(x, value):
    """x [B, H, W, C] + value [C]."""
    return (rows(x) + along(value, x.shape[2])).reshape(x.shape)
