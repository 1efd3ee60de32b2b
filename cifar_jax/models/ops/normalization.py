"""Batch normalisation, with the ReLU or leaky ReLU that follows it, and its gradient written out.

The written gradient remembers the input and two numbers a channel, where automatic differentiation
remembers several arrays of the input's size. Statistics are of the whole batch, also where devices share it: they
exchange numbers once for the layer and once for its gradient.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh

from cifar_jax.machine import mesh as mesh_lib
from cifar_jax.models.ops import few_channels, reductions


def normalize(x, scale, bias, mean, var, epsilon, slope=None, folded=False):
    """Return rectify((x - mean) / sqrt(var + epsilon) * scale + bias, slope), x [..., C], the others [C].

    Computed in the type of `scale`, returned in x's; `folded` as in `batch_norm`.
    """
    view, width = _view(x, folded)
    return _normalize(view, width, scale, bias, mean, var, epsilon, slope).reshape(x.shape)


def _normalize(x, width, scale, bias, mean, var, epsilon, slope=None):
    gain = scale * lax.rsqrt(var + epsilon)
    gain, shift = _along((gain, bias - mean * gain), width)
    y = x.astype(gain.dtype) * gain + shift
    return rectify(y, slope).astype(x.dtype)


def _along(values, width):
    return values if width == 1 else tuple(few_channels.along(each, width) for each in values)


def rectify(x, slope):
    """Return max(x, 0) + slope min(x, 0): 0 is the ReLU, more a leaky one, None leaves x as it is."""
    if slope is None:
        return x
    return jax.nn.leaky_relu(x, slope) if slope else jax.nn.relu(x)


def _sums(arrays, channels, folded):
    """Sum over all axes but the last; over what is not of the same channel where the arrays are `few_channels.rows`."""
    if arrays[0].shape[-1] != channels:
        return few_channels.totals(arrays, channels)
    if folded and arrays[0].ndim > 2:
        return tuple(reductions.total(x) for x in arrays)
    return tuple(jnp.sum(x, tuple(range(x.ndim - 1))) for x in arrays)


def _moments(x, channels, devices, folded):
    """Take each channel's mean and biased variance, [C] each; the arguments as of `batch_norm`, x of its shape or rows.

    Devices take those of their share and exchange them: mean and square, exchanged, would cancel.
    """

    def of_share(x):
        count = x.size // channels
        mean = _sums([x], channels, folded)[0] / count
        (centre,) = _along((mean,), x.shape[-1] // channels)
        # E[x^2] - mean^2 would cancel
        return mean, _sums([jnp.square(x - centre)], channels, folded)[0] / count

    if devices is None:
        return of_share(x)
    if isinstance(devices, Mesh):
        own = jnp.stack(jax.vmap(of_share)(_shares(x, devices)), axis=1)
        each = lax.with_sharding_constraint(own, mesh_lib.replicated(devices))
    else:
        each = lax.all_gather(jnp.stack(of_share(x)), devices)
    means, variances = each[:, 0], each[:, 1]
    mean = jnp.mean(means, axis=0)
    return mean, jnp.mean(variances + jnp.square(means - mean), axis=0)


def _shares(x, mesh):
    """Reshape [B, ...], shared out over the devices -> [devices, B / devices, ...], of which each has its own."""
    shares = x.reshape(mesh.size, -1, *x.shape[1:])
    return lax.with_sharding_constraint(shares, mesh_lib.over_devices(mesh))


def _totals(arrays, channels, devices, folded):
    """Sum each of the arrays for each channel over its own share or, of a Mesh, over all devices'."""
    if not isinstance(devices, Mesh):
        return _sums(arrays, channels, folded)

    def of_share(*arrays):
        return jnp.stack(_sums(arrays, channels, folded))

    own = jax.vmap(of_share)(*(_shares(x, devices) for x in arrays))
    return jnp.sum(own, axis=0)


def _view(x, folded):
    """Return x in the shape to compute in, and the number of pixels in its last axis."""
    if folded and few_channels.has_few(x):
        return few_channels.rows(x), x.shape[2]
    return x, 1


@partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5, 6))
def batch_norm(x, scale, bias, epsilon, slope=None, devices=None, folded=False):
    """Normalise x [..., C] by its own mean and biased variance over all axes but the last.

    Args:
      slope: of `rectify`, which follows.
      devices: that share the batch: a Mesh, where the program is written for the whole batch; the name of their
        axis, where it is written for one device's share, of as many images as the others'. The gradient is then that
        of the sum of all devices' losses: with respect to x all of it, to scale and bias this device's part of it.
        None: what the program sees is the whole batch, or statistics are to be a device's own.
      folded: whether to take the CPU's formulations, `reductions.total` and `few_channels`.

    Returns:
      y [..., C] of x's type; mean and variance [C] of scale's type, which carry no gradient: they are
      for the running statistics.
    """
    channels = x.shape[-1]
    view, _ = _view(x, folded)
    mean, var = _moments(view.astype(scale.dtype), channels, devices, folded)
    return normalize(x, scale, bias, mean, var, epsilon, slope, folded), mean, var


def _forward(x, scale, bias, epsilon, slope, devices, folded):
    y, mean, var = batch_norm(x, scale, bias, epsilon, slope, devices, folded)
    return (y, mean, var), (x, scale, bias, mean, var)


def _backward(epsilon, slope, devices, folded, residuals, cotangents):
    """Return the gradients, with z = (x - mean) / std, N pixels and g the gradient of scale * z + bias:

    dbias = sum g;  dscale = sum g z;  dx = scale / std * (g - dbias / N - z dscale / N)
    """
    x, scale, bias, mean, var = residuals
    shape, channels = x.shape, x.shape[-1]
    count = x.size // channels
    inverse_std = lax.rsqrt(var + epsilon)
    x, width = _view(x, folded)

    grad = cotangents[0].reshape(x.shape).astype(scale.dtype)
    if slope is not None:
        above = _normalize(x, width, scale, bias, mean, var, epsilon) > 0
        grad = jnp.where(above, grad, slope * grad if slope else 0)
    (centre,) = _along((mean,), width)
    centered = x.astype(scale.dtype) - centre
    grad_bias, grad_scale = _totals([grad, grad * centered], channels, devices, folded)
    grad_scale *= inverse_std
    offset, slope = grad_bias / count, inverse_std * grad_scale / count
    if isinstance(devices, str):
        offset, slope = lax.pmean(jnp.stack([offset, slope]), devices)
    gain, offset, slope = _along((scale * inverse_std, offset, slope), width)
    grad_x = gain * (grad - offset - centered * slope)
    return grad_x.astype(x.dtype).reshape(shape), grad_scale, grad_bias


batch_norm.defvjp(_forward, _backward)
