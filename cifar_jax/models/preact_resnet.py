"""Pre-activation ResNets (He et al. 2016b, "Identity Mappings in Deep Residual Networks") and wide ones."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from cifar_jax.models.layers import BatchNorm, Conv, average_and_classify


class PreActBlock(nn.Module):
    """x + conv(relu(bn(conv(relu(bn(x)))))), [B, H, W, Cin] -> [B, H / stride, W / stride, features].

    Where the shape changes, x is a 1x1 convolution of the first relu(bn(x)) instead.
    """

    features: int
    stride: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        conv = partial(Conv, self.features, use_bias=False, dtype=self.dtype)
        norm = partial(BatchNorm, relu=True, dtype=self.dtype)
        y = norm(name="bn1")(x, train)
        if x.shape[-1] != self.features or self.stride != 1:
            x = conv(1, self.stride, name="shortcut")(y)
        y = conv(3, self.stride, padding=1, name="conv1")(y)
        y = norm(name="bn2")(y, train)
        return x + conv(3, padding=1, name="conv2")(y)


class PreActResNet(nn.Module):
    """Pre-activation ResNet for 32x32 images.

        conv 3x3, `stem` features                        [B, 32, 32, 3] -> [B, 32, 32, stem]
        stages of pre-activation blocks, `features` features in the first and twice as many in each further one,
        which begins with stride 2
        batch norm -> ReLU -> average over the pixels -> linear num_classes

    Four stages of 2 blocks from 64 features are preact_resnet18, with 11,171,146 parameters with 10 classes as in
    kuangliu/pytorch-cifar, which leaves the last batch norm and ReLU out (`final_norm=False`); the paper has them.
    Three stages of 4 blocks, a stem of 16 and 160 features are wide_resnet_28_10 (Zagoruyko and Komodakis 2016),
    with 36,479,194.
    """

    blocks_per_stage: Sequence[int]
    stem: int = 64
    features: int = 64
    final_norm: bool = True
    num_classes: int = 10
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool = False):
        x = Conv(self.stem, 3, padding=1, use_bias=False, dtype=self.dtype, name="stem")(images)
        for stage, num_blocks in enumerate(self.blocks_per_stage):
            for block in range(num_blocks):
                x = PreActBlock(
                    self.features * 2**stage,
                    stride=2 if stage > 0 and block == 0 else 1,
                    dtype=self.dtype,
                    name=f"stage{stage + 1}_block{block + 1}",
                )(x, train)
        if self.final_norm:
            x = BatchNorm(relu=True, dtype=self.dtype, name="bn")(x, train)
        return average_and_classify(x, train, self.num_classes, None, self.dtype)
