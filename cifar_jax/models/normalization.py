"""Batch normalisation, with the ReLU or leaky ReLU that follows it, and its gradient written out.

The written gradient remembers the input and two numbers a channel, where automatic differentiation
remembers several arrays of the input's size. Sums are over the whole batch, also where it is sharded; in a
program that is written for one device's share of it (shard_map, pmap), over that share or over a named axis of devices.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from cifar_jax.models import reductions


def normalize(x, scale, bias, mean, var, epsilon, slope=None):
    """rectify((x - mean) / sqrt(var + epsilon) * scale + bias, slope), x [..., C], the others [C].

    Computed in the type of `scale`, returned in x's.
    """
    gain = scale * lax.rsqrt(var + epsilon)
    y = x.astype(gain.dtype) * gain + (bias - mean * gain)
    return rectify(y, slope).astype(x.dtype)


def rectify(x, slope):
    """max(x, 0) + slope min(x, 0): 0 is the ReLU, more a leaky one, None leaves x as it is."""
    if slope is None:
        return x
    return jax.nn.leaky_relu(x, slope) if slope else jax.nn.relu(x)


def _sum(x, folded):
    """Over all axes but the last."""
    folded = folded and x.ndim > 2
    return reductions.total(x) if folded else jnp.sum(x, tuple(range(x.ndim - 1)))


def _mean(x, axis, folded):
    """Over all axes but the last, and over a named axis of devices where there is one."""
    mean = _sum(x, folded) / (x.size // x.shape[-1])
    return mean if axis is None else lax.pmean(mean, axis)


@partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5, 6))
def batch_norm(x, scale, bias, epsilon, slope=None, axis=None, folded=False):
    """Normalises x [..., C] by its own mean and biased variance over all axes but the last.

    Args:
      slope: of `rectify`, which follows.
      axis: name of an axis of devices that the batch is spread over, each of which calls this with an equal share. The
        gradient is then that of the sum of all devices' losses: with respect to x all of it, to scale and bias this
        device's part of it.
      folded: whether sums are `reductions.total`, the CPU's formulation.

    Returns:
      y [..., C] of x's type; mean and variance [C] of scale's type, which carry no gradient: they are
      for the running statistics.
    """
    wide = x.astype(scale.dtype)
    mean = _mean(wide, axis, folded)
    var = _mean(jnp.square(wide - mean), axis, folded)  # E[x^2] - mean^2 would cancel
    return normalize(x, scale, bias, mean, var, epsilon, slope), mean, var


def _forward(x, scale, bias, epsilon, slope, axis, folded):
    y, mean, var = batch_norm(x, scale, bias, epsilon, slope, axis, folded)
    return (y, mean, var), (x, scale, bias, mean, var)


def _backward(epsilon, slope, axis, folded, residuals, cotangents):
    """With z = (x - mean) / std, N pixels and g the gradient of scale * z + bias:

    dbias = sum g;  dscale = sum g z;  dx = scale / std * (g - dbias / N - z dscale / N)
    """
    x, scale, bias, mean, var = residuals
    count = x.size // x.shape[-1]
    inverse_std = lax.rsqrt(var + epsilon)

    grad = cotangents[0].astype(scale.dtype)
    if slope is not None:
        above = normalize(x, scale, bias, mean, var, epsilon) > 0
        grad = jnp.where(above, grad, slope * grad if slope else 0)
    centered = x.astype(scale.dtype) - mean
    grad_bias, grad_scale = _sum(grad, folded), _sum(grad * centered, folded) * inverse_std
    offset, slope = grad_bias / count, inverse_std * grad_scale / count
    if axis is not None:
        offset, slope = lax.pmean((offset, slope), axis)
    grad_x = scale * inverse_std * (grad - offset - centered * slope)
    return grad_x.astype(x.dtype), grad_scale, grad_bias


batch_norm.defvjp(_forward, _backward)
