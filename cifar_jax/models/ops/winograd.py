"""Winograd's 3x3 convolution of stride 1, F(2x2, 3x3) of Lavin and Gray (2015), arXiv:1509.09308, and its gradients.

A tile, 2x2 neighbouring outputs, takes 16 products of a pixel's channels instead of 36, in exchange for sums. With d
the 4x4 pixels that it sees and g the kernel it is A^T [(G g G^T) * (B^T d B)] A, where over all tiles and channels each
of the 16 places of * is a matrix product. With many channels these are nearly all of the work.

            1  0 -1  0              1    0    0
    B^T =   0  1  1  0      G =    1/2  1/2  1/2      A^T =   1  1  1  0
            0 -1  1  0             1/2 -1/2  1/2              0  1 -1 -1
            0  1  0 -1              0    0    1

Below, what has such places, 4x4 or 2x2, is a list of rows, each a list of arrays [B, H' / 2, W' / 2, C] of all tiles.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def winograd_conv(x, kernel, padding=0):
    """Convolve 3x3 with stride 1, kernel [3, 3, Cin, Cout] and padding up to 2, as those of `convolution`.

    The transforms' sums are rounded: in float32 to some 1e-6 of the largest output.
    """
    return _convolve(x, _of_kernel(kernel), padding, _times)


def _forward(x, kernel, padding):
    return winograd_conv(x, kernel, padding), (x, kernel)


def _backward(padding, residuals, grad):
    x, kernel = residuals
    grad_x = _convolve(grad, _of_kernel(kernel[::-1, ::-1]), 2 - padding, _times_transposed)
    _, height, width, _ = grad.shape
    spread = _both(_of_output, _tiles(grad, 0, height, width, 2))
    products = _each(_gathered, _seen(x, padding, height, width), spread)
    return grad_x, _to_kernel(products)


winograd_conv.defvjp(_forward, _backward)


def _convolve(x, kernel, padding, times):
    height, width = (size + 2 * padding - 2 for size in x.shape[1:3])
    products = _each(times, _seen(x, padding, height, width), kernel)
    tiles = _both(_to_output, products)
    tiles = jnp.stack([jnp.stack(row, axis=3) for row in tiles], axis=2)  # [B, H/2, 2, W/2, 2, C]
    batch, rows, _, cols, _, features = tiles.shape
    return tiles.reshape(batch, 2 * rows, 2 * cols, features)[:, :height, :width]


KERNEL = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])  # G
BOTH = np.kron(KERNEL, KERNEL)  # along the rows and the columns at once, [16, 9]


def _of_kernel(kernel):
    """Return G g G^T, [3, 3, Cin, Cout] -> 4 rows of 4 [Cin, Cout]."""
    return (BOTH.astype(kernel.dtype) @ kernel.reshape(9, -1)).reshape(4, 4, *kernel.shape[2:])


def _to_kernel(places):
    """Return G^T u G, the other way round."""
    places = jnp.stack([jnp.stack(row) for row in places])
    return (BOTH.T.astype(places.dtype) @ places.reshape(16, -1)).reshape(3, 3, *places.shape[2:])


def _of_image(d):  # B^T
    return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]


def _of_output(y):  # A
    return [y[0], y[0] + y[1], y[0] - y[1], -y[1]]


def _to_output(m):  # A^T
    return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]


def _both(transform, places):
    """Apply `transform` along the rows and the columns of places."""
    columns = [transform(column) for column in zip(*places, strict=True)]
    return [transform(row) for row in zip(*columns, strict=True)]


def _each(function, a, b):
    return [[function(x, y) for x, y in zip(*rows, strict=True)] for rows in zip(a, b, strict=True)]


def _times(pixels, matrix):
    return (pixels.reshape(-1, pixels.shape[-1]) @ matrix).reshape(*pixels.shape[:-1], -1)


def _times_transposed(pixels, matrix):
    return _times(pixels, matrix.T)


def _gathered(pixels, grad):
    return pixels.reshape(-1, pixels.shape[-1]).T @ grad.reshape(-1, grad.shape[-1])


def _seen(x, padding, height, width):
    """Return B^T d B of the tiles of height x width outputs."""
    return _both(_of_image, _tiles(x, padding, height, width, 4))


def _tiles(x, padding, height, width, size):
    """Return the size x size pixels of the tiles of height x width outputs; the first is `padding` outside of x."""
    rows, cols = -(-height // 2), -(-width // 2)
    after = [
        2 * n + size - 2 - padding - side
        for n, side in zip((rows, cols), x.shape[1:3], strict=True)
    ]
    config = [(0, 0, 0), *((padding, n, 0) for n in after), (0, 0, 0)]
    x = lax.pad(x, jnp.zeros((), x.dtype), config)
    return [
        [x[:, i : i + 2 * rows - 1 : 2, j : j + 2 * cols - 1 : 2] for j in range(size)]
        for i in range(size)
    ]
