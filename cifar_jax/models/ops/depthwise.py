"""The depthwise convolution: one filter per channel, as shifted multiply-adds."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from cifar_jax.models.ops import reductions
from cifar_jax.models.ops.moved import columns_of, out_size, rows_of
from cifar_jax.models.ops.strided import grad_input


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def depthwise_conv(x, kernel, stride=1, padding=0):
    """Convolve with one filter per channel, kernel [K, K, 1, C], by a sum of K x K shifted products:

    y[h, w] = sum_ij x[h stride + i - padding, w stride + j - padding] kernel[i, j]
    """
    size = len(kernel)
    height, width = (out_size(n, size, stride, padding) for n in x.shape[1:3])
    x = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    return sum(
        rows_of(columns_of(x, j, width, stride), i, height, stride) * kernel[i, j, 0]
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
        grad_x = grad_input(grad, kernel, x.shape, stride, padding, spread)
    return grad_x, _depthwise_grad_kernel(grad, x, len(kernel), stride, padding)


def _depthwise_grad_kernel(grad, x, size, stride, padding):
    """Return dkernel[i, j, 0, c] = sum_bhw grad[b, h, w, c] x[b, h stride + i - padding, w stride + j - padding, c]"""
    (rows, cols), wide = grad.shape[1:3], jnp.promote_types(x.dtype, jnp.float32)
    x = lax.optimization_barrier(
        jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    )
    taps = [
        (rows_of(columns_of(x, j, cols, stride), i, rows, stride) * grad).astype(wide)
        for i in range(size)
        for j in range(size)
    ]
    return jnp.stack(reductions.totals(taps)).reshape(size, size, 1, -1).astype(x.dtype)


depthwise_conv.defvjp(_depthwise_forward, _depthwise_backward)
