"""The layers that the models share, with PyTorch's defaults, because the reports used PyTorch.

Images and feature maps are [B, H, W, C]. `dtype` is the type a layer computes in. Parameters and batch statistics
are kept in float32 (float64 when `dtype` is float64), so bfloat16 costs no precision in the update.
The mathematics is in `ops`; here it gets parameters, and the formulation that `ops.choice` takes for the platform.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cifar_jax.models.ops import choice, few_channels
from cifar_jax.models.ops.normalization import batch_norm, normalize
from cifar_jax.models.ops.pooling import sliced_max_pool, xla_max_pool

# Those a model can be asked for by name, and what they do below zero; the leaky one's is PyTorch's default.
SLOPES = {"relu": 0.0, "leaky_relu": 0.01}


def max_pool(x, window=2, stride=None, padding=0, ceil=False):
    """Take maxima over window x window squares, [B, H, W, C]; see `pooling` for the size that results.

    Args:
      stride: distance between squares, at most `window`; None = the window: side by side.
      padding: pixels of minus infinity on every side.
      ceil: whether the last square may reach over the edge, as PyTorch's ceil_mode lets it; else what no
        whole square covers is dropped.
    """
    stride = stride or window
    if padding or ceil:
        beyond = [-(size + 2 * padding - window) % stride if ceil else 0 for size in x.shape[1:3]]
        sides = [(0, 0), *((padding, padding + extra) for extra in beyond), (0, 0)]
        x = jnp.pad(x, sides, constant_values=-jnp.inf)
    if choice.on_cpu() or choice.on_gpu():
        return sliced_max_pool(x, window, stride, folded=choice.on_cpu())
    return xla_max_pool(x, window, stride)


def avg_pool(x, window=2, stride=None, padding=0):
    """Take means over window x window squares, [B, H, W, C]; pixels of the padding count, as zeros."""
    stride = stride or window
    return nn.avg_pool(x, (window,) * 2, (stride,) * 2, [(padding, padding)] * 2)


def adaptive_avg_pool(x, size):
    """Take means of size x size cells that share out the image evenly, [B, H, W, C] -> [B, size, size, C].

    PyTorch's: cell i of n pixels has the pixels floor(i n / size) to ceil((i + 1) n / size), so cells
    overlap where `size` does not divide n, and repeat pixels where n is less.
    """

    def cells(n):
        cell, pixel = np.arange(size)[:, None], np.arange(n)
        inside = (pixel >= cell * n // size) & (pixel < -(-(cell + 1) * n // size))
        return jnp.asarray(inside / inside.sum(axis=1, keepdims=True), x.dtype)

    if x.shape[1:3] == (size, size):
        return x
    return jnp.einsum("rh,bhwc,sw->brsc", cells(x.shape[1]), x, cells(x.shape[2]))


def storage_dtype(dtype):
    """Return the type of parameters, statistics and logits for a compute type: float32, or float64 for float64."""
    return jnp.promote_types(dtype, jnp.float32)


def uniform_fan_in(fan_in: int):
    """Return the initializer U(-1/sqrt(fan_in), 1/sqrt(fan_in)), PyTorch's default for conv and linear layers.

    PyTorch writes it as kaiming_uniform(a=sqrt(5)): the bound sqrt(6 / ((1 + a^2) fan_in)) is 1/sqrt(fan_in).
    """
    bound = 1.0 / math.sqrt(fan_in)

    def init(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


class Conv(nn.Module):
    """2-D convolution with symmetric zero padding, [B, H, W, Cin] -> [B, H', W', features].

    Flax's "SAME" pads strided convolutions on one side more than on the other; PyTorch does not.
    `kernel_size` and `padding` are one number, or (rows, columns).
    Parameters: `kernel` [K, K, Cin / groups, features], `bias` [features]; without an initializer of their own
    (`kernel_init`, `bias_init`) both are drawn as PyTorch draws them.
    """

    features: int
    kernel_size: int | tuple[int, int]
    stride: int = 1
    padding: int | tuple[int, int] = 0
    groups: int = 1
    use_bias: bool = True
    dtype: Any = jnp.float32
    kernel_init: Callable | None = None
    bias_init: Callable | None = None

    @nn.compact
    def __call__(self, x):
        size = self.kernel_size
        size = (size, size) if isinstance(size, int) else size
        shape = (*size, x.shape[-1] // self.groups, self.features)
        default, dtype = uniform_fan_in(math.prod(shape[:-1])), storage_dtype(self.dtype)
        kernel = self.param("kernel", self.kernel_init or default, shape, dtype)
        x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
        y = choice.conv(x, kernel, self.stride, self.padding, self.groups)
        if self.use_bias:
            bias = self.param("bias", self.bias_init or default, (self.features,), dtype)
            as_rows = choice.on_cpu() and few_channels.has_few(y)
            add = few_channels.add if as_rows else jnp.add
            y = add(y, bias.astype(self.dtype))
        return y


def DepthwiseConv(channels: int, kernel_size: int, **options) -> Conv:
    """Return a `Conv` with as many groups as channels: one filter per channel, [B, H, W, C] -> [B, H', W', C]."""
    return Conv(channels, kernel_size, groups=channels, **options)


class Linear(nn.Module):
    """Affine map of the last axis, [..., Cin] -> [..., features].

    Parameters: `kernel` [Cin, features], `bias` [features], initialised as those of `Conv`.
    """

    features: int
    use_bias: bool = True
    dtype: Any = jnp.float32
    kernel_init: Callable | None = None
    bias_init: Callable | None = None

    @nn.compact
    def __call__(self, x):
        shape, dtype = (x.shape[-1], self.features), storage_dtype(self.dtype)
        default = uniform_fan_in(x.shape[-1])
        kernel = self.param("kernel", self.kernel_init or default, shape, dtype)
        y = x.astype(self.dtype) @ kernel.astype(self.dtype)
        if self.use_bias:
            bias = self.param("bias", self.bias_init or default, shape[-1:], dtype)
            y = y + bias.astype(self.dtype)
        return y


class Named(nn.Module):
    """A function without parameters as a layer, so that what it gives has a name in the model.

    It adds no operation and no variable. A layer can be looked at and moved by its name, see
    `cifar_jax.analysis.activations`; a bare function can't.
    """

    function: Callable

    @nn.compact
    def __call__(self, *inputs):
        return self.function(*inputs)


def relu(x, name):
    """Apply max(x, 0) as a layer of that name."""
    return Named(nn.relu, name=name)(x)


def pool_pixels(reduce, x):
    """Apply `reduce` (jnp.mean or jnp.max) over the pixels as a layer "pool", [B, H, W, C] -> [B, C]."""
    return Named(partial(reduce, axis=(1, 2)), name="pool")(x)


class Dropout(nn.Module):
    """In training zeroes each number with chance `rate` and divides the others by 1 - rate.

    Flax's layer, draws included, for which the rate may also be an array of the program: runs of a sweep
    that differ in it then share one program.
    """

    rate: float | jax.Array

    @nn.compact
    def __call__(self, x, train: bool):
        if not train or (isinstance(self.rate, float | int) and self.rate == 0):
            return x
        keep = 1.0 - self.rate
        mask = jax.random.bernoulli(self.make_rng("dropout"), keep, x.shape)
        return jnp.where(mask, x / jnp.asarray(keep, x.dtype), 0)


class BatchNorm(nn.Module):
    """Batch normalisation over all axes but the last, optionally followed by ReLU or leaky ReLU.

    PyTorch's: in training the batch is normalised by its biased variance, while the running variance takes the
    unbiased one, new = (1 - momentum) old + momentum batch (Flax's momentum is one minus this one).
    The ReLU is part of the layer because the two together need to remember only the input for their gradient; `slope`
    is what it does below zero.

    Parameters: `scale`, unless it is to stay 1, and `bias` [C]. Statistics, collection `batch_stats`:
    `mean`, `var` [C].
    """

    relu: bool = False
    slope: float = 0.0
    use_scale: bool = True
    momentum: float = 0.1
    epsilon: float = 1e-5
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        shape, dtype = x.shape[-1:], storage_dtype(self.dtype)
        scale = jnp.ones(shape, dtype)
        if self.use_scale:
            scale = self.param("scale", nn.initializers.ones, shape, dtype)
        bias = self.param("bias", nn.initializers.zeros, shape, dtype)
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape, dtype)
        var = self.variable("batch_stats", "var", jnp.ones, shape, dtype)

        x, slope = x.astype(self.dtype), self.slope if self.relu else None
        if not train:
            running = mean.value, var.value
            return normalize(x, scale, bias, *running, self.epsilon, slope, choice.form(x))
        axis, near = choice.statistics_axis(), None if choice.on_cpu() else mean.value
        y, batch_mean, batch_var = batch_norm(
            *(x, scale, bias, near, self.epsilon, slope, axis, choice.form(x))
        )
        if not self.is_initializing():
            count = x.size // x.shape[-1] * (1 if axis is None else jax.lax.axis_size(axis))
            unbiased = batch_var * (count / max(count - 1, 1))
            mean.value += self.momentum * (batch_mean - mean.value)
            var.value += self.momentum * (unbiased - var.value)
        return y


class ConvBatchNorm(nn.Module):
    """Convolution -> batch norm -> optional ReLU, [B, H, W, Cin] -> [B, H', W', features].

    Padded, if `padding` is None, so that stride 1 keeps the size of the image.
    """

    features: int
    kernel_size: int | tuple[int, int] = 3
    stride: int = 1
    relu: bool = True
    padding: int | tuple[int, int] | None = None
    groups: int = 1
    use_bias: bool = False
    epsilon: float = 1e-5
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        size, padding = self.kernel_size, self.padding
        if padding is None:
            padding = size // 2 if isinstance(size, int) else tuple(n // 2 for n in size)
        conv = partial(Conv, groups=self.groups, use_bias=self.use_bias, dtype=self.dtype)
        norm = BatchNorm(relu=self.relu, epsilon=self.epsilon, dtype=self.dtype, name="bn")
        return norm(conv(self.features, size, self.stride, padding, name="conv")(x), train)


def classify(x, num_classes, name="fc", dtype=jnp.float32, **options):
    """Apply a last linear layer, [B, C] -> logits [B, num_classes] of the parameters' type.

    Called, as `average_and_classify`, in a module's `__call__`, whose layers these become.
    """
    logits = Linear(num_classes, dtype=dtype, name=name, **options)(x)
    return logits.astype(storage_dtype(dtype))


def average_and_classify(x, train, num_classes, dropout=None, dtype=jnp.float32):
    """Average over the pixels "pool" -> dropout -> linear "fc", [B, H, W, C] -> logits [B, num_classes].

    Without a rate there is no dropout layer.
    """
    x = pool_pixels(jnp.mean, x)
    if dropout is not None:
        x = Dropout(dropout)(x, train)
    return classify(x, num_classes, dtype=dtype)
