"""The formulation that a layer is traced in: one that suits a CPU or a GPU where the program is for it, else XLA's own.

`plain_formulations`, `formulations_of`, `spread_over` and `statistics_over` are context managers around the tracing.
"""

import contextlib
import contextvars
import math

import jax
import jax.numpy as jnp

from cifar_jax.models.ops import lanes
from cifar_jax.models.ops.bands import banded_conv, blocked_conv
from cifar_jax.models.ops.depthwise import depthwise_conv
from cifar_jax.models.ops.materialize import materialize_once
from cifar_jax.models.ops.normalization import Form
from cifar_jax.models.ops.plain import plain_conv, xla_conv
from cifar_jax.models.ops.products import patches_conv, pointwise_conv, untransposed_conv
from cifar_jax.models.ops.strided import strided_conv
from cifar_jax.models.ops.winograd import winograd_conv

# Measured on two cores, value and both gradients together (docs/performance.md): up to so many channels in and out
# banded_conv is faster than XLA's convolution, and from so many pixels of a batch on blocked_conv is (of an image's few
# colours up to so many channels out), up to so many images of so many pixels patches_conv, and with strides
# strided_conv from so many channels on. winograd_conv is, by the size of the kernel, from so many channels in times out
# on, with so many pixels for each of them.
FEW_CHANNELS = 12, 16
FEW_IMAGES, FEW_PIXELS = 16, 16
MANY_CHANNELS = 64
WINOGRAD_CHANNELS, WINOGRAD_PIXELS = {3: 64 * 128, 5: 32 * 32}, 2
MANY_PIXELS, FEW_COLOURS = 100_000, 64

# On a TPU, by its compiler's estimates: with so many images a chip it lays images along the lanes, and pairs only harm.
MANY_IMAGES = 128

# How a program is traced: for "cpu", "gpu" or "tpu" (None: the process's own), the mesh of the devices that XLA's
# partitioner shares it out over (None: one device; UNKNOWN: nobody said), and the named axis of devices over which
# batch statistics are taken (None: over what the program sees).
UNKNOWN = object()
_platform = contextvars.ContextVar("platform", default=None)
_mesh = contextvars.ContextVar("mesh", default=UNKNOWN)
_statistics_axis = contextvars.ContextVar("statistics_axis", default=None)


def on_cpu() -> bool:
    """Return whether to trace the CPU's formulations: choices are made by this, `on_gpu` and `_in_pairs`.

    `lax.platform_dependent` would choose at lowering instead, but its gradient carries the residuals of
    every branch. A program put on the CPU of a machine with an accelerator is right either way.
    """
    return _chosen() == "cpu"


def on_gpu() -> bool:
    """Return whether to trace what suits a GPU, where every operation is a kernel to launch."""
    return _chosen() == "gpu"


def form(x):
    """Return how to normalise a batch x, a Form.

    Two sums are one reduction on one GPU, of two kernels where two reductions are three. Over several devices XLA's
    partitioner would gather the parts of such sums, where it adds up those of one.
    """
    return Form(on_cpu(), paired=_in_pairs(x), at_once=on_gpu() and _mesh.get() is None)


def _in_pairs(x):
    """Return whether to take the pixels of x [B, H, W, C] by `lanes`: on TPUs of which each has a few images."""
    mesh = _mesh.get()
    if _chosen() != "tpu" or mesh is UNKNOWN:
        return False
    return x.shape[0] < MANY_IMAGES * (mesh.size if mesh else 1)


def _chosen():
    return _platform.get() or jax.default_backend()


def statistics_axis():
    """Return the axis that `statistics_over` names, None outside of it."""
    return _statistics_axis.get()


def plain_formulations():
    """Trace inside with XLA's own convolution and pooling: a TPU's, whose operations can be counted."""
    return formulations_of("plain")


def formulations_of(platform):
    """Trace inside with the formulations of "cpu", "gpu" or "tpu", whatever the machine that traces."""
    return _set(_platform, platform)


def spread_over(mesh):
    """Trace inside what XLA's partitioner shares out, images first, over a mesh of one axis; None: one device's."""
    return _set(_mesh, mesh)


def statistics_over(axis):
    """Take batch statistics inside, in a program for one device's share, over all devices of a named axis."""
    return _set(_statistics_axis, axis)


@contextlib.contextmanager
def _set(variable, value):
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def conv(x, kernel, stride=1, padding=0, groups=1):
    """Convolve in 2-D by the formulation that is fastest here; see `plain` for the arguments.

    Here alone the kernel may be a rectangle, and `padding` then (rows, columns): XLA's own takes those.
    """
    size, width, depth, features = kernel.shape
    if on_cpu() and size == width:
        if groups == features == x.shape[-1] > 1:
            return depthwise_conv(x, kernel, stride, padding)
        if groups > 1:
            pairs = zip(jnp.split(x, groups, -1), jnp.split(kernel, groups, -1), strict=True)
            return jnp.concatenate([conv(x, k, stride, padding) for x, k in pairs], axis=-1)
        if groups == size == 1 and padding == 0:
            return pointwise_conv(x, kernel, stride)
        keeps = stride == 1 and padding < size  # An output a pixel, or nearly.
        if keeps and _has_few_channels(x, features):
            return blocked_conv(x, kernel, padding)
        if depth <= FEW_CHANNELS[0] and features <= FEW_CHANNELS[1]:
            return banded_conv(x, kernel, stride, padding)
        if _is_small(x.shape, size):
            return patches_conv(x, kernel, stride, padding)
        x = materialize_once(x)
        if depth >= MANY_CHANNELS and stride > 1:
            return strided_conv(x, kernel, stride, padding)
        if keeps and size in WINOGRAD_CHANNELS and _is_large(x, features, size):
            return winograd_conv(x, kernel, padding)
    if on_gpu() and size == width == stride == groups == 1 and padding == 0:
        return untransposed_conv(x, kernel)
    if _in_pairs(x) and lanes.suits(x, kernel, stride, padding, groups):
        return lanes.paired_conv(x, kernel, stride, padding, groups, _mesh.get())
    convolve = plain_conv if on_cpu() else xla_conv
    return convolve(x, kernel, stride, padding, groups)


def _is_small(shape, size):
    """Return whether XLA is slow for so small images, above all for those that are smaller than the kernel."""
    batch, height, width, _ = shape
    # An export's batch may be of any size, and is no number then.
    few = isinstance(batch, int) and batch <= FEW_IMAGES
    return size > min(height, width) or (few and height * width <= FEW_PIXELS)


def _has_few_channels(x, features):
    """Return whether blocks of pixels pay: where banded_conv's patches would not stay in the cache."""
    depth = x.shape[-1]
    most = FEW_COLOURS if depth <= 4 else FEW_CHANNELS[1]
    return depth <= FEW_CHANNELS[0] and features <= most and _pixels(x) >= MANY_PIXELS


def _is_large(x, features, size):
    """Return whether Winograd's savings are more than what its transforms cost, of the kernel above all."""
    channels = x.shape[-1], features
    return (
        math.prod(channels) >= WINOGRAD_CHANNELS[size]
        and _pixels(x) >= WINOGRAD_PIXELS * max(channels)
        and jnp.finfo(x.dtype).bits >= 32  # Its sums would lose digits of a shorter one.
    )


def _pixels(x):
    """Return how many there are, 0 where an export's batch is no number."""
    pixels = x.shape[:3]
    return math.prod(pixels) if all(isinstance(n, int) for n in pixels) else 0
