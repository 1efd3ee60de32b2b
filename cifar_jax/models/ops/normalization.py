"""Batch normalisation, with the ReLU or leaky ReLU that follows it, and its gradient written out.

The written gradient remembers the input and two numbers a channel, where automatic differentiation
remembers several arrays of the input's size. Sums are over the whole batch, also where it is sharded; in a
program that is written for one device's share of it (shard_map, pmap), over that share or over a named axis of devices.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from cifar_jax.models.ops import few_channels, lanes, reductions


class Form(NamedTuple):
    """How to compute: the same numbers but for rounding. `choice.form` is the platform's."""

    folded: bool = False  # the CPU's way: `reductions.total` and `few_channels`
    paired: bool = False  # a TPU's: `lanes`
    at_once: bool = False  # two sums in one reduction


PLAIN = Form()


def normalize(x, scale, bias, mean, var, epsilon, slope=None, form=PLAIN):
    """Return rectify((x - mean) / sqrt(var + epsilon) * scale + bias, slope), x [..., C], the others [C].

    Computed in the type of `scale`, returned in x's.
    """
    view, width = _view(x, form)
    return _normalize(view, width, scale, bias, mean, var, epsilon, slope).reshape(x.shape)


def _normalize(x, width, scale, bias, mean, var, epsilon, slope=None):
    gain = scale * lax.rsqrt(var + epsilon)
    gain, shift = _along((gain, bias - mean * gain), width)
    y = x.astype(gain.dtype) * gain + shift
    return rectify(y, slope).astype(x.dtype)


def _along(values, width):
    """Repeat each [C] once a pixel of the view's last axis: [width C]."""
    if width == 1:
        return values
    if width == 2:
        return lanes.along(values)
    return tuple(few_channels.along(each, width) for each in values)


def rectify(x, slope):
    """Return max(x, 0) + slope min(x, 0): 0 is the ReLU, more a leaky one, None leaves x as it is."""
    if slope is None:
        return x
    return jax.nn.leaky_relu(x, slope) if slope else jax.nn.relu(x)


def _sums(arrays, channels, form):
    """Sum over all axes but the last, and there over what is not of the same channel."""
    if arrays[0].shape[-1] != channels:
        return lanes.totals(arrays) if form.paired else few_channels.totals(arrays, channels)
    if form.folded and arrays[0].ndim > 2:
        return tuple(reductions.total(x) for x in arrays)
    axes = tuple(range(arrays[0].ndim - 1))
    if form.at_once:
        return reductions.sums(arrays, axes)
    return tuple(jnp.sum(x, axes) for x in arrays)


def _means(arrays, channels, axis, form):
    """Take means as `_sums` sums, and over a named axis of devices where there is one."""
    count = arrays[0].size // channels
    means = [total / count for total in _sums(arrays, channels, form)]
    return means if axis is None else lax.pmean(jnp.stack(means), axis)


def _moments(x, near, channels, axis, form):
    """Take mean and biased variance, [C] each, of x as `_view` has it; the arguments as of `batch_norm`."""
    width = x.shape[-1] // channels
    if near is not None:
        off = x - _along((near,), width)[0]
        offset, square = _means([off, jnp.square(off)], channels, axis, form)
        return near + offset, jnp.maximum(square - jnp.square(offset), 0)
    (mean,) = _means([x], channels, axis, form)
    (centre,) = _along((mean,), width)
    # E[x^2] - mean^2 would cancel
    (var,) = _means([jnp.square(x - centre)], channels, axis, form)
    return mean, var


def _view(x, form):
    """Return x in the shape to compute in, and the number of pixels in its last axis."""
    if form.folded and few_channels.has_few(x):
        return few_channels.rows(x), x.shape[2]
    if form.paired and lanes.is_half(x):
        return lanes.pairs(x), 2
    return x, 1


@partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6, 7))
def batch_norm(x, scale, bias, near, epsilon, slope=None, axis=None, form=PLAIN):
    """Normalise x [..., C] by its own mean and biased variance over all axes but the last.

    Args:
      near: [C], a guess of the mean such as the running one, or None. With it mean and variance are taken in one pass,
        which accelerators' compilers put into the loop that makes x: of x - near, whose squares lose digits where the
        mean is many deviations from it. Without it in two.
      slope: of `rectify`, which follows.
      axis: name of an axis of devices that the batch is spread over, each of which calls this with an equal share. The
        gradient is then that of the sum of all devices' losses: with respect to x all of it, to scale and bias this
        device's part of it.

    Returns:
      y [..., C] of x's type; mean and variance [C] of scale's type, which carry no gradient: they are
      for the running statistics.
    """
    channels = x.shape[-1]
    view, _ = _view(x, form)
    mean, var = _moments(view.astype(scale.dtype), near, channels, axis, form)
    return normalize(x, scale, bias, mean, var, epsilon, slope, form), mean, var


def _forward(x, scale, bias, near, *options):
    y, mean, var = batch_norm(x, scale, bias, near, *options)
    return (y, mean, var), (x, scale, bias, mean, var)


def _backward(epsilon, slope, axis, form, residuals, cotangents):
    """Return the gradients, with z = (x - mean) / std, N pixels and g the gradient of scale * z + bias:

    dbias = sum g;  dscale = sum g z;  dx = scale / std * (g - dbias / N - z dscale / N)
    """
    x, scale, bias, mean, var = residuals
    shape, channels = x.shape, x.shape[-1]
    count = x.size // channels
    inverse_std = lax.rsqrt(var + epsilon)
    x, width = _view(x, form)

    grad = cotangents[0].reshape(x.shape).astype(scale.dtype)
    if slope is not None:
        above = _normalize(x, width, scale, bias, mean, var, epsilon) > 0
        grad = jnp.where(above, grad, slope * grad if slope else 0)
    (centre,) = _along((mean,), width)
    centered = x.astype(scale.dtype) - centre
    grad_bias, grad_scale = _sums([grad, grad * centered], channels, form)
    grad_scale *= inverse_std
    offset, slope = grad_bias / count, inverse_std * grad_scale / count
    if axis is not None:
        offset, slope = lax.pmean(jnp.stack([offset, slope]), axis)
    gain, offset, slope = _along((scale * inverse_std, offset, slope), width)
    grad_x = gain * (grad - offset - centered * slope)
    return grad_x.astype(x.dtype).reshape(shape), grad_scale, grad_bias, None


batch_norm.defvjp(_forward, _backward)
