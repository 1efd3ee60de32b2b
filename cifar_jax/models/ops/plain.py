"""XLA's own 2-D convolution with symmetric zero padding, [B, H, W, Cin] -> [B, H', W', Cout], and its plain gradients.

Every other formulation here gives the same values and gradients; the tests hold each against `xla_conv`. On the CPU
that one is slow for much of what these models do (XLA runs a grouped convolution as plain loops, ten times slower
than PyTorch), so `choice.conv` takes the others there.

Throughout, kernel is [K, K, Cin / groups, Cout] of x's type, `stride` and `padding` are the same along height and
width, and H' = (H + 2 padding - K) // stride + 1.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

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
