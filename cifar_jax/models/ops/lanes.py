"""Two neighbouring pixels of a row as one of twice the channels, for a TPU, whose registers have 128 lanes for them.

With 64 channels half of each register is empty: what is elementwise, and a convolution, take twice as long as they
need. [B, H, W, 64] as [B, H, W / 2, 128] fills it. Each layer goes to pairs and back, and XLA cancels what lies between
two layers.
"""

import functools
import operator

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec

HALF = 64


def is_half(x):
    """Return whether x is [B, H, W, 64] of an even width."""
    return x.ndim == 4 and x.shape[-1] == HALF and x.shape[2] % 2 == 0


def pairs(x):
    """Reshape [B, H, W, C] -> [B, H, W / 2, 2 C]."""
    return x.reshape(*x.shape[:2], x.shape[2] // 2, 2 * x.shape[3])


def along(values):
    """Repeat arrays [C] for both pixels of a pair, each -> [2 C]; all of them in one operation."""
    stacked = jnp.stack(values)
    return tuple(jnp.concatenate([stacked, stacked], axis=1))


def totals(arrays):
    """Sum arrays [B, H, W / 2, 2 C] over all pixels, each -> [C]."""
    sums = [jnp.sum(x, axis=(0, 1, 2)) for x in arrays]
    return tuple(first + second for first, second in (jnp.split(each, 2) for each in sums))


def suits(x, kernel, stride, padding, groups):
    """Return whether `paired_conv` takes these, and fills registers that are half empty else."""
    size, other, _, features = kernel.shape
    keeps = size == other == 2 * padding + 1 and x.shape[2] % 2 == 0 and groups in (1, features)
    return keeps and {1: features, 2: x.shape[-1]}.get(stride) == HALF


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4, 5))
def paired_conv(x, kernel, stride=1, padding=0, groups=1, mesh=None):
    """Convolve pairs of pixels by a kernel of pairs: the given one once a pixel, each moved by one, between zeros.

    With stride 2 a pair makes one pixel. A depthwise kernel becomes one of all channels, which a TPU's matrix unit
    convolves with in half of the time that XLA's depthwise convolution takes.

    Args:
      x, kernel, stride, padding, groups: as of `plain`, where `suits`.
      mesh: the devices that XLA's partitioner shares the images out over, where there are several. The gradient by the
        kernel of pairs, up to 256 times as large, is narrowed on each of them before it is added up over them.
    """
    return _convolve(x, kernel, stride, padding, groups)


def _forward(x, kernel, stride, padding, groups, mesh):
    return paired_conv(x, kernel, stride, padding, groups, mesh), (x, kernel)


def _backward(stride, padding, groups, mesh, residuals, grad):
    def by_kernel(x, grad):
        return _transposed(lambda each: _convolve(x, each, stride, padding, groups), kernel)(grad)

    x, kernel = residuals
    (grad_x,) = _transposed(lambda each: _convolve(each, kernel, stride, padding, groups), x)(grad)
    if mesh is None:
        return grad_x, *by_kernel(x, grad)
    (axis,) = mesh.axis_names
    share, whole = PartitionSpec(axis), PartitionSpec()
    added_up = jax.shard_map(
        lambda *shares: lax.psum(by_kernel(*shares), axis),
        mesh=mesh,
        in_specs=(share, share),
        out_specs=(whole,),
        check_vma=False,  # nothing is differentiated through it
    )
    return grad_x, *added_up(x, grad)


paired_conv.defvjp(_forward, _backward)


def _transposed(function, argument):
    """Transpose a linear function of an array like `argument`."""
    return jax.linear_transpose(function, jax.ShapeDtypeStruct(argument.shape, argument.dtype))


def _convolve(x, kernel, stride, padding, groups):
    channels, features = x.shape[-1], kernel.shape[-1]
    if groups > 1:
        kernel = kernel * jnp.eye(channels, dtype=kernel.dtype)
    taps, before, after = _kernel_of_pairs(kernel, stride, padding)
    y = lax.conv_general_dilated(
        pairs(x),
        taps,
        (stride, 1),
        [(padding, padding), (before, after)],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return y.reshape(*y.shape[:2], -1, features)


def _kernel_of_pairs(kernel, stride, padding):
    """Return [K, pairs seen, 2 Cin, pixels made Cout], and how many of the pairs lie before and after."""
    size, _, depth, features = kernel.shape
    made = 2 // stride
    places = [divmod(out * stride + tap - padding, 2) for out in range(made) for tap in range(size)]
    before, after = -min(places)[0], max(places)[0]
    taps = []
    for number, (pair, pixel) in enumerate(places):
        out, tap = divmod(number, size)
        margins = (
            (0, 0),
            (before + pair, after - pair),
            (pixel * depth, (1 - pixel) * depth),
            (out * features, (made - 1 - out) * features),
        )
        taps.append(jnp.pad(kernel[:, tap : tap + 1], margins))
    return functools.reduce(operator.add, taps), before, after
