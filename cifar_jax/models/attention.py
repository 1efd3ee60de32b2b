"""Self-attention among the pixels of a feature map, as in SAGAN (Zhang et al. 2019)."""

import itertools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from cifar_jax.models.layers import Conv, storage_dtype
from cifar_jax.models.ops import choice

# Scores held at once: 32 MiB in float32, of which the gradient needs some three. At 32x32 pixels an image alone has a
# million, so the report's batch of 8 is one block, which a step computes once. On two cores and at batch 128 the
# gradient took 1.4 s and 136 MiB with half of this bound, 3.2 s and 1.5 GiB without any.
MAX_SCORES = 2**23
USUAL_BATCH = 64


def attend(query, key, value):
    """Return softmax(query key^T) value, the softmax over keys: [B, N, D], [B, N, D], [B, N, C] -> [B, N, C]."""
    scores = jnp.einsum("bqd,bkd->bqk", query, key)
    weights = nn.softmax(scores.astype(storage_dtype(scores.dtype)))
    return jnp.einsum("bqk,bkc->bqc", weights.astype(value.dtype), value)


def blocked_attend(query, key, value, max_scores=MAX_SCORES):
    """Do as `attend`, by as many queries at a time as keep B x queries x N within max_scores, where possible.

    The gradient computes the scores of a block again instead of remembering them. Queries are split,
    and not images, because a batch may be spread over devices. Of an exported program's batch the size is
    not known: there the blocks are those of USUAL_BATCH.
    """
    batch, pixels, depth = query.shape
    known = batch if isinstance(batch, int) else USUAL_BATCH
    wanted = -(-known * pixels * pixels // max_scores)
    blocks = next((n for n in range(wanted, pixels) if pixels % n == 0), pixels)
    if blocks == 1:
        return attend(query, key, value)
    queries = query.reshape(batch, blocks, -1, depth).swapaxes(0, 1)
    block = jax.checkpoint(attend, prevent_cse=False)
    attended = lax.map(lambda query: block(query, key, value), queries)
    return attended.swapaxes(0, 1).reshape(batch, pixels, -1)


class SelfAttention(nn.Module):
    """x + gain attend(query(x), key(x), value(x)), [B, H, W, C] -> [B, H, W, C].

    Query and key are 1x1 convolutions to C / 8 channels, value is one to C, all three with a bias.

    In SAGAN the gain is a parameter that starts at 0. Report 003's count leaves its three gains out (a summary that
    adds up weights and biases does not see such a parameter), and its text does not mention them. The count decides:
    the gain is a constant. It is 1, the plain residual connection, because at 0 the layer would do nothing and learn
    nothing.

    On a GPU a training step makes the three as one convolution, which is one kernel to launch, in its gradient as well.
    """

    gain: float = 1.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        batch, height, width, channels = x.shape
        features = {"query": channels // 8, "key": channels // 8, "value": channels}
        layers = [Conv(n, 1, dtype=self.dtype, name=name) for name, n in features.items()]
        if train and choice.on_gpu() and not self.is_initializing():
            ends = list(itertools.accumulate(features.values()))
            parts = jnp.split(joined(layers, x), ends[:-1], axis=-1)
        else:
            parts = [layer(x) for layer in layers]
        attended = blocked_attend(*(y.reshape(batch, -1, y.shape[-1]) for y in parts))
        return x + self.gain * attended.reshape(x.shape)


def joined(layers, x):
    """Convolve once by the kernels and biases of several 1x1 `Conv`, [B, H, W, C] -> [B, H, W, all features].

    The layers are not called, so what they give has no names; in evaluation, where names are asked for, they are.
    """
    params = [layer.variables["params"] for layer in layers]
    kernel, bias = (
        jnp.concatenate([each[name] for each in params], axis=-1).astype(layers[0].dtype)
        for name in ("kernel", "bias")
    )
    return choice.conv(x.astype(kernel.dtype), kernel) + bias
