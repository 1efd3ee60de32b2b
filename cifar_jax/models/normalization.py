"""Batch normalisation, with the ReLU that follows it, and its gradient written out.

The written gradient remembers the input and two numbers a channel, where automatic differentiation
remembers several arrays of the input's size. Sums are over the whole batch, also where it is sharded.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax


def normalize(x, scale, bias, mean, var, epsilon, relu):
    """relu((x - mean) / sqrt(var + epsilon) * scale + bias), x [..., C], the others [C].

    Computed in the type of `scale`, returned in x's.
    """
    gain = scale * lax.rsqrt(var + epsilon)
    y = x.astype(gain.dtype) * gain + (bias - mean * gain)
    return (jax.nn.relu(y) if relu else y).astype(x.dtype)


@partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def batch_norm(x, scale, bias, epsilon, relu):
    """Normalises x [..., C] by its own mean and biased variance over all axes but the last.

    Returns:
      y [..., C] of x's type; mean and variance [C] of scale's type, which carry no gradient: they are
      for the running statistics.
    """
    axes = tuple(range(x.ndim - 1))
    wide = x.astype(scale.dtype)
    mean = jnp.mean(wide, axes)
    var = jnp.mean(jnp.square(wide - mean), axes)  # E[x^2] - mean^2 would cancel
    return normalize(x, scale, bias, mean, var, epsilon, relu), mean, var


def _forward(x, scale, bias, epsilon, relu):
    y, mean, var = batch_norm(x, scale, bias, epsilon, relu)
    return (y, mean, var), (x, scale, bias, mean, var)


def _backward(epsilon, relu, residuals, cotangents):
    """With z = (x - mean) / std, N pixels and g the gradient of scale * z + bias:

    dbias = sum g;  dscale = sum g z;  dx = scale / std * (g - dbias / N - z dscale / N)
    """
    x, scale, bias, mean, var = residuals
    axes = tuple(range(x.ndim - 1))
    count = x.size // x.shape[-1]
    inverse_std = lax.rsqrt(var + epsilon)

    grad = cotangents[0].astype(scale.dtype)
    if relu:
        grad = jnp.where(normalize(x, scale, bias, mean, var, epsilon, False) > 0, grad, 0)
    centered = x.astype(scale.dtype) - mean
    grad_bias = jnp.sum(grad, axes)
    grad_scale = jnp.sum(grad * centered, axes) * inverse_std
    slope = inverse_std * grad_scale / count
    grad_x = scale * inverse_std * (grad - grad_bias / count - centered * slope)
    return grad_x.astype(x.dtype), grad_scale, grad_bias


batch_norm.defvjp(_forward, _backward)
