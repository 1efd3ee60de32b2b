"""A net that compiles in a second, for tests whose point is no model.

Of 8x8 images by itself; registered, as `small_config` has it, of a data set's 32x32 ones, whose means of 4x4 pixels it
takes first.
"""

import functools
from typing import Any
from unittest import mock

import flax.linen as nn
import jax.numpy as jnp

from cifar_jax import models
from cifar_jax.models import layers
from cifar_jax.models.ops.plain import plain_conv

NAME, WITHOUT = "small_net", "small_net_without_batch_norm"
SIDE = 8


class SmallNet(nn.Module):
    """Convolution -> batch norm, where asked for -> ReLU -> convolution -> ReLU -> mean -> dropout -> linear."""

    num_classes: int = 10
    dtype: Any = jnp.float32
    dropout: float = 0.0
    batch_norm: bool = True
    # The convolutions of layers.py, which take twice as long to compile; else plain ones.
    ours: bool = False

    @nn.compact
    def __call__(self, images, train: bool = False):
        x = images
        if x.shape[1] > SIDE:
            x = layers.avg_pool(x, x.shape[1] // SIDE)
        x = self._conv(x, 6, "conv")
        if self.batch_norm:
            x = layers.BatchNorm(relu=True, dtype=self.dtype, name="bn")(x, train)
        x = self._conv(nn.relu(x), 8, "conv2", strides=2)
        return layers.average_and_classify(
            nn.relu(x), train, self.num_classes, self.dropout, self.dtype
        )

    def _conv(self, x, features, name, strides=1):
        if self.ours:
            return layers.Conv(features, 3, strides, dtype=self.dtype, name=name)(x)
        drawn, stored = layers.uniform_fan_in(9 * x.shape[-1]), layers.storage_dtype(self.dtype)
        options = {"dtype": self.dtype, "param_dtype": stored, "name": name}
        options |= {"kernel_init": drawn, "bias_init": drawn, "conv_general_dilated": plain}
        return nn.Conv(features, (3, 3), strides, padding="VALID", **options)(x)


def plain(x, kernel, strides, *_, **__):
    """Convolve as flax's Conv asks for; in a loop the gradients are as fast, and have the same bits, as outside."""
    return plain_conv(x, kernel, strides[0])


ENTRIES = {
    NAME: models.Entry(SmallNet, 710, dropout=0.0),
    WITHOUT: models.Entry(functools.partial(SmallNet, batch_norm=False), 698, dropout=0.0),
}


def registered():
    """A context in which they are models as any other."""
    return mock.patch.dict(models.REGISTRY, ENTRIES)
