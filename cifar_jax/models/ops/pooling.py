"""Formulations of max pooling over squares, [B, H, W, C] -> [B, H', W', C], without padding.

`stride` is the distance between the squares, at most `window`: side by side when equal, overlapping when
less. H' = (H - window) // stride + 1, and pixels beyond the last whole square are dropped. The gradient
goes to the first of equal maxima, row by row, as in PyTorch.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cifar_jax.models.ops import few_channels
from cifar_jax.models.ops.materialize import materialize


def xla_max_pool(x, window, stride):
    """Pool by XLA's own max pooling."""
    shape, strides = (1, window, window, 1), (1, stride, stride, 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, shape, strides, "VALID")


def sliced_max_pool(x, window, stride, folded=True):
    """Pool by the maximum of window x window strided slices.

    XLA runs the gradient of its own pooling as plain loops on the CPU, and as three kernels on a GPU. Here it is
    elementwise operations on whole arrays, given the place of each maximum.

    Args:
      folded: whether to take the CPU's formulations, `few_channels` and `materialize`.
    """
    return _pool(x, window, stride, x.shape[1:3], folded)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3, 4))
def _pool(x, window, stride, size, folded):
    return _max_and_place(x, window, stride, size, folded)[0]


def _max_and_place(x, window, stride, size, folded):
    """Return of each square the maximum, and the number of its first place, row by row, as a float."""
    height, width = ((n - window) // stride * stride + window for n in size)
    x = x[:, :height, :width]  # what the squares cover
    if folded and few_channels.has_few(x) and window == stride:
        return _staged_max_and_place(x, window)
    maximum, place = _sliced_max_and_place(x, window, stride)
    return maximum, materialize(place) if folded else place


def _sliced_max_and_place(x, window, stride):
    maximum = place = None
    for index in range(window * window):
        row, col = divmod(index, window)
        height, width = (x.shape[1] - window + row + 1, x.shape[2] - window + col + 1)
        candidate = x[:, row:height:stride, col:width:stride]
        if maximum is None:
            maximum, place = candidate, jnp.zeros(candidate.shape, jnp.float32)
        else:
            place = jnp.where(candidate > maximum, jnp.float32(index), place)
            maximum = jnp.maximum(candidate, maximum)
    return maximum, place


def _staged_max_and_place(x, window):
    """Pool squares side by side: first each column of a square, over whole rows of the image, then along its row.

    Each stage is one reduction of values and places, whose results XLA writes to memory once.
    """
    batch, height, width, channels = x.shape
    start = jnp.array(-jnp.inf, x.dtype), jnp.array(jnp.inf, x.dtype)

    def first_of_greatest(left, right):
        (a, i), (b, j) = left, right
        is_right = (b > a) | (b != b) | ((b == a) & (j < i))
        return jnp.where(is_right, b, a), jnp.where(is_right, j, i)

    rows, columns = height // window, width // window
    x = x.reshape(batch * rows, window, width * channels)
    place = window * lax.broadcasted_iota(x.dtype, x.shape, 1)
    of_columns = lax.reduce((x, place), start, first_of_greatest, (1,))
    x, place = (each.reshape(batch * rows * columns, window, channels) for each in of_columns)
    place += lax.broadcasted_iota(place.dtype, place.shape, 1)
    of_squares = lax.reduce((x, place), start, first_of_greatest, (1,))
    return tuple(each.reshape(batch, rows, columns, channels) for each in of_squares)


def _backward(window, stride, size, folded, place, grad):
    backward = _disjoint_backward if window == stride else _overlapping_backward
    spread = backward(window, stride, place, grad)
    more = (max(n - m, 0) for n, m in zip(size, spread.shape[1:3], strict=True))
    spread = jnp.pad(spread, ((0, 0), *((0, n) for n in more), (0, 0)))
    return (spread[:, : size[0], : size[1]],)


def _disjoint_backward(window, stride, place, grad):
    batch, height, width, channels = grad.shape
    index = jnp.arange(window * window, dtype=jnp.float32).reshape(window, 1, window, 1)
    is_maximum = place[:, :, None, :, None] == index
    spread = jnp.where(is_maximum, grad[:, :, None, :, None], 0)
    return spread.reshape(batch, height * window, width * window, channels)


def _overlapping_backward(window, stride, place, grad):
    """Send the gradient to each pixel from the squares that have their maximum there.

    Pixel a stride + r of a row is pixel r + k stride of square a - k. So with the pixels as [a, r] along both sides few
    moved copies of the squares, one for each k, are compared with where a pixel is in them.
    """
    batch, rows, cols, channels = grad.shape
    more = -(-window // stride)  # squares that have a pixel, at most

    def moved(x, down, right):
        sides = ((0, 0), (down, more - 1 - down), (right, more - 1 - right), (0, 0))
        return jnp.pad(x, sides)[:, :, None, :, None]

    def sent(down, right):
        row, col = (np.arange(stride) + each * stride for each in (down, right))
        index = np.where((row[:, None] < window) & (col < window), row[:, None] * window + col, -1)
        here = moved(place, down, right) == index.reshape(stride, 1, stride, 1).astype(place.dtype)
        return jnp.where(here, moved(grad, down, right), 0)

    spread = sum(sent(down, right) for down in range(more) for right in range(more))
    return spread.reshape(batch, (rows + more - 1) * stride, (cols + more - 1) * stride, channels)


_pool.defvjp(_max_and_place, _backward)
