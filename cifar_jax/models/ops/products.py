"""Convolutions by one matrix product: of all pixels, or of the patches that they see."""

import functools

import jax
import jax.numpy as jnp

from cifar_jax.models.ops.moved import columns_of, out_size, rows_of
from cifar_jax.models.ops.plain import xla_conv


def pointwise_conv(x, kernel, stride=1):
    """Convolve 1x1 by one matrix product over all pixels; kernel [1, 1, Cin, Cout]."""
    x = x[:, ::stride, ::stride]
    return (x.reshape(-1, x.shape[-1]) @ kernel[0, 0]).reshape(*x.shape[:-1], kernel.shape[-1])


@jax.custom_vjp
def untransposed_conv(x, kernel):
    """Convolve 1x1 by XLA's own, the gradient by the images as a matrix product; kernel [1, 1, Cin, Cout].

    As a convolution that gradient reads the kernel transposed, and a GPU's program makes the transposed one while it
    updates the kernel, which then can't be updated in place: two kernels to launch that a product does without.
    """
    return xla_conv(x, kernel)


def _untransposed_forward(x, kernel):
    return untransposed_conv(x, kernel), (x, kernel)


def _untransposed_backward(residuals, grad):
    x, kernel = residuals
    _, by_kernel = jax.vjp(functools.partial(xla_conv, x), kernel)
    return pointwise_conv(grad, kernel.swapaxes(2, 3)), *by_kernel(grad)


untransposed_conv.defvjp(_untransposed_forward, _untransposed_backward)


def patches_conv(x, kernel, stride=1, padding=0):
    """Convolve by one matrix product of the patches that the outputs see, [B H' W', K K Cin].

    For small images, where patches are few: at 4x4 pixels XLA runs 5x5 kernels a hundred times slower.
    """
    size, _, depth, features = kernel.shape
    rows, cols = (out_size(n, size, stride, padding) for n in x.shape[1:3])
    columns = [columns_of(x, j - padding, cols, stride) for j in range(size)]
    patches = [
        rows_of(column, i - padding, rows, stride) for i in range(size) for column in columns
    ]
    patches = jnp.concatenate(patches, axis=-1).reshape(-1, size * size * depth)
    return (patches @ kernel.reshape(-1, features)).reshape(x.shape[0], rows, cols, features)
