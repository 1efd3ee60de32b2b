"""Formulations of the 2-D convolution with symmetric zero padding, [B, H, W, Cin] -> [B, H', W', Cout].

All give the same values and gradients; the tests hold each against `xla_conv`. On the CPU that one is
slow for much of what these models do (XLA runs a grouped convolution as plain loops, ten times slower
than PyTorch), so `choice.conv` takes the others there.

Throughout, kernel is [K, K, Cin / groups, Cout] of x's type, `stride` and `padding` are the same along
height and width, and H' = (H + 2 padding - K) // stride + 1.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cifar_jax.models.ops import reductions
from cifar_jax.models.ops.materialize import materialize_once


def xla_conv(x, kernel, stride=1, padding=0, groups=1):
    """Convolve by XLA's own; kernel and padding may differ along height and width, padding = (rows, columns)."""
    return _convolve(x, kernel, [(each, each) for each in _pair(padding)], stride, groups=groups)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def plain_conv(x, kernel, stride=1, padding=0, groups=1):
    """Convolve as `xla_conv`, with gradients that are plain convolutions: of a kernel flipped before, not in a window.

    Autodiff makes convolutions with a reversed window or permuted dimensions, for which XLA's CPU back end has a
    naive loop only where they stand in a `lax.scan`: 50 times slower.
    """
    return xla_conv(x, kernel, stride, padding, groups)


def _plain_forward(x, kernel, stride, padding, groups):
    return plain_conv(x, kernel, stride, padding, groups), (x, kernel)


def _plain_backward(stride, padding, groups, residuals, grad):
    x, kernel = residuals
    return (
        _plain_grad_input(grad, kernel, x.shape, stride, padding, groups),
        plain_grad_kernel(grad, x, kernel.shape, stride, padding, groups),
    )


plain_conv.defvjp(_plain_forward, _plain_backward)


def _plain_grad_input(grad, kernel, shape, stride, padding, groups):
    """Return the gradient by x, of shape `shape`: `grad`, rows `stride` apart, convolved with the flipped kernel."""
    margins = []
    for n, out, size, pad in zip(
        shape[1:3], grad.shape[1:3], kernel.shape, _pair(padding), strict=False
    ):
        before, spread = size - 1 - pad, (out - 1) * stride + 1
        margins.append((before, n + size - 1 - spread - before))
    *window, depth, features = kernel.shape
    flipped = kernel[::-1, ::-1].reshape(*window, depth, groups, features // groups)
    flipped = flipped.transpose(0, 1, 4, 3, 2).reshape(*window, features // groups, groups * depth)
    return _convolve(grad, flipped, margins, apart=stride, groups=groups)


def plain_grad_kernel(grad, x, shape, stride=1, padding=0, groups=1):
    """Return the gradient by the kernel, of shape `shape`: channels are the batch, and images what is summed over."""
    if groups > 1:
        parts = zip(jnp.split(grad, groups, -1), jnp.split(x, groups, -1), strict=True)
        one = (*shape[:3], shape[3] // groups)
        each = [plain_grad_kernel(g, part, one, stride, padding, 1) for g, part in parts]
        return jnp.concatenate(each, axis=-1)
    margins = []
    for n, out, size, pad in zip(
        x.shape[1:3], grad.shape[1:3], shape, _pair(padding), strict=False
    ):
        margins.append((pad, (out - 1) * stride + size - n - pad))
    swapped = x.transpose(3, 1, 2, 0), grad.transpose(1, 2, 0, 3)
    return _convolve(*swapped, margins, window_apart=stride).transpose(1, 2, 0, 3)


def _convolve(x, kernel, padding, stride=1, apart=1, window_apart=1, groups=1):
    """Convolve [B, H, W, Cin] by XLA, with the rows and columns of x, or of the kernel, so far apart between zeros."""
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding=padding,
        lhs_dilation=(apart, apart),
        rhs_dilation=(window_apart, window_apart),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def differentiable(name, convolve, grad_kernel):
    """Make a convolution of stride 1 differentiable: its gradient by x is such a convolution, of the kernel flipped.

    Args:
        name: by which a trace calls it.
        convolve: (x, kernel, padding) -> y; `padding` is below the kernel's size.
        grad_kernel: (gradient by y, x, shape of the kernel, padding) -> gradient by the kernel.
    Returns:
        (x, kernel, padding=0) -> y.
    """

    def conv(x, kernel, padding=0):
        return convolve(x, kernel, padding)

    conv.__name__ = name
    conv = jax.custom_vjp(conv, nondiff_argnums=(2,))

    def forward(x, kernel, padding):
        return conv(x, kernel, padding), (x, kernel)

    def backward(padding, residuals, grad):
        x, kernel = residuals
        grad = materialize_once(grad)
        flipped = kernel[::-1, ::-1].swapaxes(2, 3)
        grad_x = convolve(grad, flipped, len(kernel) - 1 - padding)
        return grad_x, grad_kernel(grad, x, kernel.shape, padding)

    conv.defvjp(forward, backward)
    return conv


def _pair(padding):
    return (padding, padding) if isinstance(padding, int) else padding


def pointwise_conv(x, kernel, stride=1):
    """Convolve 1x1 by one matrix product over all pixels; kernel [1, 1, Cin, Cout]."""
    x = x[:, ::stride, ::stride]
    return (x.reshape(-1, x.shape[-1]) @ kernel[0, 0]).reshape(*x.shape[:-1], kernel.shape[-1])


def patches_conv(x, kernel, stride=1, padding=0):
    """Convolve by one matrix product of the patches that the outputs see, [B H' W', K K Cin].

    For small images, where patches are few: at 4x4 pixels XLA runs 5x5 kernels a hundred times slower.
    """
    size, _, depth, features = kernel.shape
    rows, cols = (_out_size(n, size, stride, padding) for n in x.shape[1:3])
    columns = [_cols(x, j - padding, cols, stride) for j in range(size)]
    patches = [_rows(column, i - padding, rows, stride) for i in range(size) for column in columns]
    patches = jnp.concatenate(patches, axis=-1).reshape(-1, size * size * depth)
    return (patches @ kernel.reshape(-1, features)).reshape(x.shape[0], rows, cols, features)


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
    rows, cols = (_out_size(n, size, stride, padding) for n in (height, width))
    blocks = -(-cols // block)
    seen = (block - 1) * stride + size

    pixel, tap = np.arange(block), np.arange(size)
    places = np.arange(seen)[:, None, None] == pixel[:, None] * stride + tap  # [seen, block, K]
    matrix = jnp.einsum("vwj,ijco->ivcwo", places.astype(x.dtype), kernel)

    x = _cols(x, -padding, (blocks - 1) * block * stride + seen)
    # XLA writes what is padded to memory once. Without padding each slice would compute anew what x is computed of,
    # such as an image's normalisation, so a row is added that none takes.
    x = _rows(x, -padding, height + max(2 * padding, 1))
    x = x.reshape(*x.shape[:2], -1)  # Pixels and channels as one axis copy several times faster.
    patches = [
        _rows(_cols(x, b * block * stride * depth, seen * depth), i, rows, stride)
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
    cols = _out_size(width, size, 1, padding)
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


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def depthwise_conv(x, kernel, stride=1, padding=0):
    """Convolve with one filter per channel, kernel [K, K, 1, C], by a sum of K x K shifted products:

    y[h, w] = sum_ij x[h stride + i - padding, w stride + j - padding] kernel[i, j]
    """
    size = len(kernel)
    height, width = (_out_size(n, size, stride, padding) for n in x.shape[1:3])
    x = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    return sum(
        _rows(_cols(x, j, width, stride), i, height, stride) * kernel[i, j, 0]
        for i in range(size)
        for j in range(size)
    )


def _depthwise_forward(x, kernel, stride, padding):
    return depthwise_conv(x, kernel, stride, padding), (x, kernel)


def _depthwise_backward(stride, padding, residuals, grad):
    def spread(grad, tap):
        return grad * tap[0]

    x, kernel = residuals
    if stride == 1 and padding < len(kernel):
        # The same sum as forward, which XLA does in half the time.
        flipped = kernel[::-1, ::-1]
        grad_x = depthwise_conv(grad, flipped, 1, len(kernel) - 1 - padding)
    else:
        grad_x = _grad_input(grad, kernel, x.shape, stride, padding, spread)
    return grad_x, _depthwise_grad_kernel(grad, x, len(kernel), stride, padding)


def _depthwise_grad_kernel(grad, x, size, stride, padding):
    """Return dkernel[i, j, 0, c] = sum_bhw grad[b, h, w, c] x[b, h stride + i - padding, w stride + j - padding, c]"""
    (rows, cols), wide = grad.shape[1:3], jnp.promote_types(x.dtype, jnp.float32)
    x = lax.optimization_barrier(
        jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    )
    taps = [
        (_rows(_cols(x, j, cols, stride), i, rows, stride) * grad).astype(wide)
        for i in range(size)
        for j in range(size)
    ]
    return jnp.stack(reductions.totals(taps)).reshape(size, size, 1, -1).astype(x.dtype)


depthwise_conv.defvjp(_depthwise_forward, _depthwise_backward)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def strided_conv(x, kernel, stride, padding=0):
    """Convolve by XLA's own, with gradients of ours, kernel [K, K, Cin, Cout].

    XLA makes a strided convolution's gradients convolutions over images full of zeros.
    """
    return xla_conv(x, kernel, stride, padding)


def _strided_forward(x, kernel, stride, padding):
    return strided_conv(x, kernel, stride, padding), (x, kernel)


def _strided_backward(stride, padding, residuals, grad):
    def spread(grad, tap):
        return grad @ tap.T

    x, kernel = residuals
    return (
        _grad_input(grad, kernel, x.shape, stride, padding, spread),
        _grad_kernel(grad, x, len(kernel), stride, padding),
    )


strided_conv.defvjp(_strided_forward, _strided_backward)


def _grad_input(grad, kernel, shape, stride, padding, spread):
    """Return the gradient by x, of shape `shape`; spread(grad, kernel[i, j]) is what a tap hands back.

    Output h met input row h stride + i - padding with tap i. So input row a stride + r met the outputs
    a + (r + padding - i) / stride, for the taps i where that is whole: each remainder r of the rows,
    and of the columns, is a stride-1 convolution of its own, and the results interleave.
    """
    batch, height, width, channels = shape
    rows, cols = -(-height // stride), -(-width // stride)

    def met(remainder):
        offsets = ((i, *divmod(remainder + padding - i, stride)) for i in range(len(kernel)))
        return [(i, shift) for i, shift, rest in offsets if rest == 0]

    def phase(row_remainder, col_remainder):
        return sum(
            (
                spread(_rows(_cols(grad, w_shift, cols), h_shift, rows), kernel[i, j])
                for i, h_shift in met(row_remainder)
                for j, w_shift in met(col_remainder)
            ),
            start=jnp.zeros((batch, rows, cols, channels), grad.dtype),
        )

    remainders = range(stride)
    phases = jnp.stack([jnp.stack([phase(r, s) for s in remainders], 3) for r in remainders], 2)
    interleaved = phases.reshape(batch, rows * stride, cols * stride, channels)
    return interleaved[:, :height, :width]


def _grad_kernel(grad, x, size, stride, padding):
    """Return the gradient by the kernel: dkernel[i, j] is x, moved by tap (i, j), times `grad`, over all pixels.

    Moving x along the columns and `grad` along the rows takes 2 K moved copies for the K x K taps, and one matrix
    product for each row of taps.
    """
    rows = -(-x.shape[1] // stride)
    columns = [_cols(x, j - padding, grad.shape[2], stride) for j in range(size)]

    def row(i):
        shift, remainder = divmod(i - padding, stride)
        seen = jnp.concatenate([_rows(each, remainder, rows, stride) for each in columns], axis=-1)
        moved = _rows(grad, -shift, rows)
        product = seen.reshape(-1, seen.shape[-1]).T @ moved.reshape(-1, moved.shape[-1])
        return product.reshape(size, -1, grad.shape[-1])

    return jnp.stack([row(i) for i in range(size)])


def _out_size(size, kernel_size, stride, padding):
    return (size + 2 * padding - kernel_size) // stride + 1


def _take(axis, x, start, count, stride=1):
    """Return x[start], x[start + stride], ..., `count` of them along `axis`, zero where outside of x."""
    stop = start + (count - 1) * stride + 1
    config = [(0, 0, 0)] * x.ndim
    config[axis] = (-start, stop - x.shape[axis], 0)
    x = lax.pad(x, jnp.zeros((), x.dtype), config)
    return lax.slice_in_dim(x, 0, None, stride, axis)


_rows = partial(_take, 1)
_cols = partial(_take, 2)
