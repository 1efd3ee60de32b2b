"""Sums over pixels on the CPU, where XLA's own add one number at a time.

An image's sums come first: images are shared out to threads, and so short sums lose few digits. Arrays are
[B, H, ..., C]; sums are over all axes but the last, [C].
"""

import math

import jax.numpy as jnp
from jax import lax

# So many numbers are read faster from the cache again and again than, one at a time, once from memory: 8 MB of float32,
# measured with 32 MB of cache (docs/performance.md).
CACHED = 2**21
# A matrix product adds up one after the other: so many in float32 are off by some 1e-6.
IN_TURN = 1024


def total(x):
    """Sum x: an image's rows in 8 parts, or as many as divide them, then the rest by a matrix product.

    The first is elementwise, and so vectorised, with what x is computed of.
    """
    parts = max(n for n in range(1, 9) if x.shape[1] % n == 0)
    if math.prod(x.shape[1:-1]) > IN_TURN * parts:
        return jnp.sum(x, tuple(range(x.ndim - 1)))
    folded = sum(jnp.split(x, parts, axis=1)).reshape(len(x), -1, x.shape[-1])
    ones = jnp.ones(folded.shape[:2], x.dtype)
    of_images = jnp.einsum("bn,bnc->bc", ones, folded, precision=lax.Precision.HIGHEST)
    return jnp.sum(of_images, axis=0)


def totals(arrays):
    """Sum each of `arrays` of one shape; the data that they are computed of are read as seldom as pays.

    XLA fuses what the arrays are computed of into a reduction, but makes one of each sum, and each reads that data
    anew. One reduction of them all reads it once; the barrier keeps XLA from making one of it and of the sum
    over images.
    """
    if arrays[0].size <= CACHED:
        return tuple(total(x) for x in arrays)
    pixels = tuple(range(1, arrays[0].ndim - 1))
    of_images = lax.optimization_barrier(sums(arrays, pixels))
    return tuple(jnp.sum(x, axis=0) for x in of_images)


def sums(arrays, axes):
    """Sum each of `arrays` of one shape over `axes`, in one reduction: data that they share is computed once."""

    def add(left, right):
        return tuple(x + y for x, y in zip(left, right, strict=True))

    return lax.reduce(tuple(arrays), tuple(jnp.zeros((), x.dtype) for x in arrays), add, axes)
