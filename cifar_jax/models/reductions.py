"""Several sums of one pass over their data."""

import jax.numpy as jnp
from jax import lax


def sums(arrays):
    """The sum of each of `arrays`, [B, ..., C], over all axes but the last, the data read once: [C] each.

    XLA fuses what the arrays are computed of into a reduction, but makes one of each sum, and each reads that data
    anew. One reduction of them all reads it once. It goes over the pixels of an image, so that images are shared out
    to threads; the barrier keeps XLA from making one of it and of the sum over images.
    """
    pixels = tuple(range(1, arrays[0].ndim - 1))
    zeros = tuple(jnp.zeros((), x.dtype) for x in arrays)

    def add(ours, theirs):
        return tuple(x + y for x, y in zip(ours, theirs, strict=True))

    of_images = lax.optimization_barrier(lax.reduce(tuple(arrays), zeros, add, pixels))
    return tuple(jnp.sum(x, axis=0) for x in of_images)
