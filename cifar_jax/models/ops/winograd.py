"""Winograd's convolution of stride 1 along the rows of an image, F(4, K) of Lavin and Gray (2015), arXiv:1509.09308.

4 neighbouring outputs of a row see n = K + 3 pixels d. A row g of the kernel takes n products of a pixel's channels
for them instead of 4 K, in exchange for sums: A^T [(G g) * (B^T d)]. Down the columns the kernel's rows add up as in
any convolution, so each of the n places of * is a convolution by a kernel [K, 1], which XLA does. Both ways,
F(4x4, KxK) takes fewer products yet, but was no faster here, and compiles ten times as long.

Both sides are values of polynomials (Toom and Cook): with V_k the matrix [1, p, ..., p^(k - 1)] of n - 1 points p, and
a last row that is 1 in its last column, G = V_K, A = V_4, and B^T is the inverse of V_n, transposed.
"""

import functools

import jax.numpy as jnp
import numpy as np
from jax import lax

from cifar_jax.models.ops.plain import differentiable, plain_grad_kernel, xla_conv

OUTPUTS = 4
# By the kernel's size. Of pairs p and 1 / p these round least: in float32 to some 1e-6 of the largest output.
POINTS = {
    3: (0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5)),
    5: (0, 0.5, -0.5, 1, -1, 2, -2),
}
# From so many channels on, in and out, the kernel's gradient goes this way, too.
GATHERED_CHANNELS = 128


@functools.cache
def _matrices(size):
    """Return B^T [n, n], G [n, K] and A^T [4, n] of a kernel of K = `size`."""

    def powers(count):
        finite = np.vander(POINTS[size], count, increasing=True)
        return np.vstack([finite, np.eye(1, count, count - 1)])

    inverse = np.linalg.inv(powers(size + OUTPUTS - 1)).T
    return np.where(abs(inverse) < 1e-12, 0, inverse), powers(size), powers(OUTPUTS).T


def _combined(matrix, arrays):
    """Return the sums of `arrays` by the rows of the matrix."""
    rows = ([(n, x) for n, x in zip(row, arrays, strict=True) if n] for row in matrix)
    return [sum(float(n) * x for n, x in row) for row in rows]


def _convolve(x, kernel, padding):
    size, cols = len(kernel), x.shape[2] + 2 * padding - len(kernel) + 1
    _, of_kernel, to_output = _matrices(size)
    kernels = _combined(of_kernel, [kernel[:, j] for j in range(size)])
    seen = _seen(_padded(x, size, padding, cols), size, cols)
    products = [
        xla_conv(place, taps[:, None], padding=(padding, 0))
        for place, taps in zip(seen, kernels, strict=True)
    ]
    tiles = jnp.stack(_combined(to_output, products), axis=3)  # [B, H', W' / 4, 4, Cout]
    batch, rows, blocks, outputs, features = tiles.shape
    return tiles.reshape(batch, rows, blocks * outputs, features)[:, :, :cols]


def _padded(x, size, padding, cols):
    """Pad the rows of x to what all blocks of `cols` outputs see; XLA computes that once, for all readers."""
    seen = -(-cols // OUTPUTS) * OUTPUTS + size - 1
    config = [(0, 0, 0), (0, 0, 0), (padding, seen - padding - x.shape[2], 0), (0, 0, 0)]
    return lax.pad(x, jnp.zeros((), x.dtype), config)


def _seen(padded, size, cols):
    """Return B^T d of the blocks of `cols` outputs of a row: n arrays [B, H, blocks, C]."""
    starts = range(size + OUTPUTS - 1)
    return _combined(_matrices(size)[0], [padded[:, :, j : j + cols : OUTPUTS] for j in starts])


def _grad_kernel(grad, x, shape, padding):
    """Return the gradient by the kernel, of shape `shape`: G^T [(B^T d) * (A g)], summed over blocks, row by row."""
    size, _, depth, features = shape
    rows, cols = grad.shape[1:3]
    padded = _padded(x, size, padding, cols)
    if min(depth, features) < GATHERED_CHANNELS:
        padded = padded[:, :, : cols + size - 1]
        return plain_grad_kernel(grad, padded, shape, 1, (padding, 0))
    _, of_kernel, to_output = _matrices(size)
    grad = jnp.pad(grad, ((0, 0), (0, 0), (0, -cols % OUTPUTS), (0, 0)))
    spread = _combined(to_output.T, [grad[:, :, j::OUTPUTS] for j in range(OUTPUTS)])
    padded = jnp.pad(padded, ((0, 0), (padding, padding), (0, 0), (0, 0)))

    def gathered(place, grad):
        moved = (place[:, i : i + rows].reshape(-1, depth) for i in range(size))
        return jnp.stack([each.T @ grad.reshape(-1, features) for each in moved])

    places = map(gathered, _seen(padded, size, cols), spread)
    return jnp.einsum("nj,nico->ijco", of_kernel.astype(x.dtype), jnp.stack(list(places)))


winograd_conv = differentiable("winograd_conv", _convolve, _grad_kernel)
