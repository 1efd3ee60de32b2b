"""Convolutions of few channels: several neighbouring pixels of a row at once."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cifar_jax.models.ops.moved import columns_of, out_size, rows_of
from cifar_jax.models.ops.plain import differentiable, plain_grad_kernel, xla_conv


def banded_conv(x, kernel, stride=1, padding=0, block=4):
    """Convolve by one matrix product that makes `block` neighbouring pixels of a row at once.

    These pixels see K rows of (block - 1) stride + K pixels, and are a linear function of them; its matrix
    holds the kernel once per pixel, each time moved by the stride, between zeros. Against one patch per
    pixel the product multiplies some zeros, but has `block` times the columns, without which few channels
    would be all memory traffic, and a patch serves `block` pixels.
    """
    if stride == 1 and 2 * padding == len(kernel) - 1:
        return _banded_same_conv(x, kernel, block)
    return _banded_conv(x, kernel, stride, padding, block)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _banded_same_conv(x, kernel, block):
    """Convolve and keep the size of the image. The gradient by x does so, too, in place of a sum over all bands."""
    return _banded_conv(x, kernel, 1, len(kernel) // 2, block)


def _banded_same_forward(x, kernel, block):
    return _banded_same_conv(x, kernel, block), (x, kernel)


def _banded_same_backward(block, residuals, grad):
    x, kernel = residuals
    flipped = kernel[::-1, ::-1].swapaxes(2, 3)
    _, by_kernel = jax.vjp(partial(_banded_conv, x, padding=len(kernel) // 2, block=block), kernel)
    return _banded_same_conv(grad, flipped, block), *by_kernel(grad)


_banded_same_conv.defvjp(_banded_same_forward, _banded_same_backward)


def _banded_conv(x, kernel, stride=1, padding=0, block=4):
    size, _, depth, features = kernel.shape
    batch, height, width, _ = x.shape
    rows, cols = (out_size(n, size, stride, padding) for n in (height, width))
    blocks = -(-cols // block)
    seen = (block - 1) * stride + size

    pixel, tap = np.arange(block), np.arange(size)
    places = np.arange(seen)[:, None, None] == pixel[:, None] * stride + tap  # [seen, block, K]
    matrix = jnp.einsum("vwj,ijco->ivcwo", places.astype(x.dtype), kernel)

    x = columns_of(x, -padding, (blocks - 1) * block * stride + seen)
    # XLA writes what is padded to memory once. Without padding each slice would compute anew what x is computed of,
    # such as an image's normalisation, so a row is added that none takes.
    x = rows_of(x, -padding, height + max(2 * padding, 1))
    x = x.reshape(*x.shape[:2], -1)  # Pixels and channels as one axis copy several times faster.
    patches = [
        rows_of(columns_of(x, b * block * stride * depth, seen * depth), i, rows, stride)
        for b in range(blocks)
        for i in range(size)
    ]
    patches = jnp.concatenate(patches, axis=2).reshape(batch * rows * blocks, -1)
    y = patches @ matrix.reshape(patches.shape[1], block * features)
    return y.reshape(batch, rows, blocks * block, features)[:, :, :cols]


def _blocked_conv(x, kernel, padding):
    """Convolve with `block` neighbouring pixels of a row as one pixel of as many times the channels, by XLA's own.

    The kernel becomes one of blocks: it holds the kernel once per pixel of a block, each time moved by one, between
    zeros. XLA's convolution is slow with few channels, and needs no patches.
    """
    size, _, depth, features = kernel.shape
    batch, height, width, _ = x.shape
    block = 4 if min(depth, features) <= 4 else 2
    cols = out_size(width, size, 1, padding)
    blocks, span = -(-cols // block), -(-(block + size - 1) // block)

    pixel, tap = np.arange(block), np.arange(size)
    places = np.arange(span * block)[:, None, None] == pixel[:, None] + tap
    taps = jnp.einsum("vwj,ijco->ivcwo", places.astype(x.dtype), kernel)
    taps = taps.reshape(size, span, block * depth, block * features)

    after = (blocks + span - 1) * block - padding - width
    config = [(0, 0, 0), (0, 0, 0), (padding * depth, after * depth, 0)]
    x = lax.pad(x.reshape(batch, height, -1), jnp.zeros((), x.dtype), config)
    y = xla_conv(x.reshape(batch, height, -1, block * depth), taps, padding=(padding, 0))
    return y.reshape(batch, y.shape[1], blocks * block, features)[:, :, :cols]


def _blocked_grad_kernel(grad, x, shape, padding):
    return plain_grad_kernel(grad, x, shape, 1, padding)


blocked_conv = differentiable("blocked_conv", _blocked_conv, _blocked_grad_kernel)
