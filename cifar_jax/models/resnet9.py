"""The ResNet-9 of the speed runs: Page 2018, "How to train your ResNet", his entry to DAWNBench."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from cifar_jax.models.layers import ConvBatchNorm, Named, classify, max_pool, pool_pixels


class ResNet9(nn.Module):
    """Eight convolutions and a linear layer; 6,573,120 parameters with 10 classes.

        conv 64                                        [B, 32, 32, 3]   -> [B, 32, 32, 64]
        conv 128 -> max pool 2x2 -> residual block     [B, 32, 32, 64]  -> [B, 16, 16, 128]
        conv 256 -> max pool 2x2                       [B, 16, 16, 128] -> [B, 8, 8, 256]
        conv 512 -> max pool 2x2 -> residual block     [B, 8, 8, 256]   -> [B, 4, 4, 512]
        max pool 4x4 -> linear num_classes, without bias -> times 1/8

    Each convolution is 3x3, without bias, and followed by batch norm and ReLU; a residual block is
    x + conv(conv(x)). The factor of 1/8 keeps the first logits small at the speed runs' learning rates.
    """

    num_classes: int = 10
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool = False):
        layer = partial(ConvBatchNorm, dtype=self.dtype)
        x = layer(64, name="stem")(images, train)
        for stage, features in enumerate((128, 256, 512), start=1):
            x = max_pool(layer(features, name=f"stage{stage}_conv")(x, train))
            if stage != 2:
                y = layer(features, name=f"stage{stage}_residual1")(x, train)
                y = layer(features, name=f"stage{stage}_residual2")(y, train)
                x = Named(jnp.add, name=f"stage{stage}_sum")(x, y)
        x = pool_pixels(jnp.max, x)
        return classify(x, self.num_classes, dtype=self.dtype, use_bias=False) / 8
