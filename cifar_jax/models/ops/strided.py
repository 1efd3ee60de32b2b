"""Strided convolutions, whose gradients by XLA are convolutions over images full of zeros."""

from functools import partial

import jax
import jax.numpy as jnp

from cifar_jax.models.ops.moved import columns_of, rows_of
from cifar_jax.models.ops.plain import xla_conv


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
        grad_input(grad, kernel, x.shape, stride, padding, spread),
        _grad_kernel(grad, x, len(kernel), stride, padding),
    )


strided_conv.defvjp(_strided_forward, _strided_backward)


def grad_input(grad, kernel, shape, stride, padding, spread):
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
                spread(rows_of(columns_of(grad, w_shift, cols), h_shift, rows), kernel[i, j])
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
    columns = [columns_of(x, j - padding, grad.shape[2], stride) for j in range(size)]

    def row(i):
        shift, remainder = divmod(i - padding, stride)
        seen = jnp.concatenate(
            [rows_of(each, remainder, rows, stride) for each in columns], axis=-1
        )
        moved = rows_of(grad, -shift, rows)
        product = seen.reshape(-1, seen.shape[-1]).T @ moved.reshape(-1, moved.shape[-1])
        return product.reshape(size, -1, grad.shape[-1])

    return jnp.stack([row(i) for i in range(size)])
