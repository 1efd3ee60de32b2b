"""A depthwise convolution with its two gradients in Pallas, for GPUs (Triton): a candidate of `gpu.py`.

It goes into cifar_jax.models.ops if it is the fastest there, and from here if not. What it could win: XLA's
grouped convolution and its gradients fall back to kernels for few channels a group (jax-ml/jax#13800, #23713), and the
sum of shifted products reads its input once a tap unless XLA fuses it.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

PIXELS, CHANNELS = 64, 64  # of a block: powers of two, as Triton wants them
SPLITS = 4  # blocks that share out an image in the gradient by the kernel


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def depthwise_conv(x, kernel, stride=1, padding=0, interpret=False):
    """One filter per channel, as cifar_jax.models.ops.depthwise.depthwise_conv: [B, H, W, C], [K, K, 1, C]."""
    size = len(kernel)
    height, width = ((n + 2 * padding - size) // stride + 1 for n in x.shape[1:3])

    def place(output, tap):
        return output * stride + tap - padding, True

    return _gather(x, kernel, (x.shape[0], height, width, x.shape[3]), place, interpret)


def _forward(x, kernel, stride, padding, interpret):
    return depthwise_conv(x, kernel, stride, padding, interpret), (x, kernel)


def _backward(stride, padding, interpret, residuals, grad):
    x, kernel = residuals

    def place(pixel, tap):
        moved = pixel + padding - tap
        return moved // stride, moved % stride == 0

    by_x = _gather(grad, kernel, x.shape, place, interpret)
    return by_x, _correlate(x, grad, len(kernel), stride, padding, interpret)


depthwise_conv.defvjp(_forward, _backward)


def _gather(source, kernel, shape, place, interpret):
    """out[b, h, w, c] = sum_ij source[b, place(h, i), place(w, j), c] kernel[i, j, 0, c], of shape `shape`.

    place(position, tap) -> (position in the source, whether there is one); outside of the source is zero.
    """
    batch, height, width, channels = shape
    size, sums = len(kernel), jnp.promote_types(source.dtype, jnp.float32)

    def body(source_ref, kernel_ref, out_ref):
        row, col, channel, inside = _block(pl.program_id(1), pl.program_id(2), shape)
        total = jnp.zeros((PIXELS, CHANNELS), sums)
        for i in range(size):
            for j in range(size):
                pixel = (place(row, i), place(col, j))
                seen = _load(source_ref, pl.program_id(0), *pixel, channel, inside).astype(sums)
                tap = triton.load(
                    kernel_ref.at[i, j, 0, channel], mask=channel < channels, other=0.0
                )
                total += seen * tap[None].astype(sums)
        place_out = out_ref.at[pl.program_id(0), row[:, None], col[:, None], channel[None]]
        triton.store(place_out, total.astype(source.dtype), mask=inside)

    return pl.pallas_call(
        body,
        out_shape=jax.ShapeDtypeStruct(shape, source.dtype),
        grid=(batch, pl.cdiv(height * width, PIXELS), pl.cdiv(channels, CHANNELS)),
        compiler_params=triton.CompilerParams(num_warps=4),
        interpret=interpret,
    )(source, kernel)


def _correlate(x, grad, size, stride, padding, interpret):
    """dkernel[i, j, 0, c] = sum_bhw x[b, h stride + i - padding, w stride + j - padding, c] grad[b, h, w, c].

    Each block adds up a part of one image, and XLA adds up the blocks: a fixed order, so the same bits each time.
    """
    batch, height, width, channels = grad.shape
    sums = jnp.promote_types(x.dtype, jnp.float32)
    tiles = pl.cdiv(height * width, PIXELS)
    each = pl.cdiv(tiles, SPLITS)

    def body(x_ref, grad_ref, out_ref):
        image, split, block = (pl.program_id(axis) for axis in range(3))

        def add(number, totals):
            row, col, channel, inside = _block(split * each + number, block, grad.shape)
            there = (row, True), (col, True)
            given = _load(grad_ref, image, *there, channel, inside).astype(sums)
            new_totals = []
            for tap, total in enumerate(totals):
                i, j = divmod(tap, size)
                met = (row * stride + i - padding, True), (col * stride + j - padding, True)
                seen = _load(x_ref, image, *met, channel, inside).astype(sums)
                new_totals.append(total + jnp.sum(seen * given, axis=0))
            return tuple(new_totals)

        totals = (jnp.zeros((CHANNELS,), sums),) * size**2
        channel = block * CHANNELS + jnp.arange(CHANNELS)
        for tap, total in enumerate(lax.fori_loop(0, each, add, totals)):
            triton.store(out_ref.at[image, split, tap, channel], total, mask=channel < channels)

    parts = pl.pallas_call(
        body,
        out_shape=jax.ShapeDtypeStruct((batch, SPLITS, size**2, channels), sums),
        grid=(batch, SPLITS, pl.cdiv(channels, CHANNELS)),
        compiler_params=triton.CompilerParams(num_warps=4),
        interpret=interpret,
    )(x, grad)
    return parts.sum((0, 1)).reshape(size, size, 1, channels).astype(x.dtype)


def _block(tile, block, shape):
    """(row [P], column [P], channel [C], which of them are in the array: bool [P, C]) of a block."""
    _, height, width, channels = shape
    pixel = tile * PIXELS + jnp.arange(PIXELS)
    channel = block * CHANNELS + jnp.arange(CHANNELS)
    inside = (pixel < height * width)[:, None] & (channel < channels)[None]
    return pixel // width, pixel % width, channel, inside


def _load(ref, image, rows, cols, channel, inside):
    """[P, C] of an image; rows and cols are (positions, whether they are there), zero where they are not."""
    for (position, there), count in zip((rows, cols), ref.shape[1:3], strict=True):
        inside &= ((position >= 0) & (position < count) & there)[:, None]
    row, col = rows[0], cols[0]
    return triton.load(
        ref.at[image, row[:, None], col[:, None], channel[None]], mask=inside, other=0.0
    )
