"""Moved copies of an image: what products of them take in place of a convolution's window."""

from functools import partial

import jax.numpy as jnp
from jax import lax


def out_size(size, kernel_size, stride, padding):
    """Return how many outputs a convolution has along an axis of `size` pixels."""
    return (size + 2 * padding - kernel_size) // stride + 1


def _take(axis, x, start, count, stride=1):
    """Return x[start], x[start + stride], ..., `count` of them along `axis`, zero where outside of x."""
    stop = start + (count - 1) * stride + 1
    config = [(0, 0, 0)] * x.ndim
    config[axis] = (-start, stop - x.shape[axis], 0)
    x = lax.pad(x, jnp.zeros((), x.dtype), config)
    return lax.slice_in_dim(x, 0, None, stride, axis)


rows_of = partial(_take, 1)
columns_of = partial(_take, 2)
