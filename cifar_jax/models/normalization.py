"""Batch normalisation, with the ReLU that follows it, and its gradient written out.

The written gradient remembers the input and two numbers a channel, where automatic differentiation
remembers several arrays of the input's size. Sums are over the whole batch, also where it is sharded; in a
program that is written for one device's share of it (shard_map, pmap), over that share or over a named axis of devices.
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


def _mean(x, axis):
    """Over all axes but the last, and over a named axis of devices where there is one."""
    mean = jnp.mean(x, tuple(range(x.ndim - 1)))
    return mean if axis is None else lax.pmean(mean, axis)


@partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def batch_norm(x, scale, bias, epsilon, relu, axis=None):
    """Normalises x [..., C] by its own mean and biased variance over all axes but the last.

    Args:
      axis: name of an axis of devices that the batch is spread over, each of which calls this with an equal share. The
        gradient is then that of the sum of all devices' losses: with respect to x all of it, to scale and bias this
        device's part of it.

    Returns:
      y [..., C] of x's type; mean and variance [C] of scale's type, which carry no gradient: they are
      for the running statistics.
    """
    wide = x.astype(scale.dtype)
    mean = _mean(wide, axis)
    var = _mean(jnp.square(wide - mean), axis)  # E[x^2] - mean^2 would cancel
    return normalize(x, scale, bias, mean, var, epsilon, relu), mean, var


def _forward(x, scale, bias, epsilon, relu, axis):
    y, mean, var = batch_norm(x, scale, bias, epsilon, relu, axis)
    return (y, mean, var), (x, scale, bias, mean, var)


def _backward(epsilon, relu, axis, residuals, cotangents):
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
    offset, slope = grad_bias / count, inverse_std * grad_scale / count
    if axis is not None:
        offset, slope = lax.pmean((offset, slope), axis)
    grad_x = scale * inverse_std * (grad - offset - centered * slope)
    return grad_x.astype(x.dtype), grad_scale, grad_bias


batch_norm.defvjp(_forward, _backward)
