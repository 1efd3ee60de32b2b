"""ResNets: those of report 003 (Cao), section 3.5, the larger ones, ResNeXt, and ResNet-18 at ImageNet's size."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from cifar_jax.models.layers import (
    BatchNorm,
    Conv,
    ConvBatchNorm,
    DepthwiseConv,
    average_and_classify,
    max_pool,
)


class DepthwiseSeparableConv(nn.Module):
    """Depthwise 3x3 -> pointwise 1x1 -> batch norm -> ReLU, neither convolution biased (Table 23)."""

    features: int
    stride: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        options = {"use_bias": False, "dtype": self.dtype}
        x = DepthwiseConv(
            x.shape[-1], 3, stride=self.stride, padding=1, name="depthwise", **options
        )(x)
        x = Conv(self.features, 1, name="pointwise", **options)(x)
        return BatchNorm(relu=True, dtype=self.dtype, name="bn")(x, train)


class ResidualBlock(nn.Module):
    """relu(residual(x) + shortcut(x)), [B, H, W, Cin] -> [B, H / stride, W / stride, features].

    The residual is two 3x3 convolutions. With `bottleneck` it is 1x1 to so many features, 3x3 in `groups`
    groups, 1x1 to `features`; the 3x3 has the stride (He et al. 2016, Fig. 5; Xie et al. 2017, Fig. 3c).
    The shortcut is the identity, or a 1x1 convolution with batch norm where the shape changes.
    """

    features: int
    stride: int = 1
    bottleneck: int | None = None
    groups: int = 1
    separable: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        y = x
        for layer in self._residual():
            y = layer(y, train)
        if x.shape != y.shape:
            project = ConvBatchNorm(
                self.features, 1, self.stride, relu=False, dtype=self.dtype, name="shortcut"
            )
            x = project(x, train)
        return nn.relu(y + x)

    def _residual(self):
        features, stride, inner = self.features, self.stride, self.bottleneck
        if self.separable:
            layer = partial(DepthwiseSeparableConv, dtype=self.dtype)
            return layer(features, stride, name="conv1"), layer(features, name="conv2")
        layer = partial(ConvBatchNorm, dtype=self.dtype)
        if inner is None:
            return (
                layer(features, 3, stride, name="conv1"),
                layer(features, 3, relu=False, name="conv2"),
            )
        return (
            layer(inner, 1, name="conv1"),
            layer(inner, 3, stride, groups=self.groups, name="conv2"),
            layer(features, 1, relu=False, name="conv3"),
        )


class ResNet(nn.Module):
    """ResNet (He et al. 2016), for 32x32 images as in report 003 (Cao), section 3.5 and Table 23.

        conv 3x3, 64 -> batch norm -> ReLU         [B, 32, 32, 3]  -> [B, 32, 32, 64]
        stages of residual blocks, `features` features in the first and twice as many in each further one,
        which begins with stride 2                 [B, 32, 32, 64] -> [B, 4, 4, 512]
        average over the pixels -> dropout -> linear num_classes

    Two blocks in each of 4 stages are resnet18 (11,173,962 parameters, Tables 13 to 18), one is resnet10 (4,903,242,
    Tables 19 to 22), one with `separable` convolutions resnet18_dw (722,186, Tables 23 to 25), all with 10 classes.
    Beyond the report, and as in kuangliu/pytorch-cifar: 3, 4, 6 and 3 blocks are resnet34 (21,282,122), with a
    `bottleneck` of 64 features resnet50 (23,520,842); 3 stages of 3 blocks, 2 groups of 64 and a 1x1 stem are
    resnext29_2x64d (9,128,778; the stem of Xie et al. 2017 is 3x3).

    `imagenet` replaces the stem by a 7x7 convolution with stride 2 and a 3x3 max pool with stride 2:
    [B, 224, 224, 3] -> [B, 56, 56, 64]. So resnet18 is torchvision's, with 1000 classes 11,689,512 parameters, the
    one of report 001's (Lai) Table IV.

    Open choices of report 003:
      * The form. The report says ResNet18 only; its counts are those of the CIFAR form (kuangliu/pytorch-cifar):
        3x3 stem, no max pool, 1x1 convolution and batch norm on the shortcut where the shape changes.
      * Dropout rate. "A dropout layer before the final full-connected layer", no rate: 0.5, the only rate the report
        states (Table 7). Table 23 lists every layer and no dropout, so resnet18_dw has none (`dropout=None`).
      * ReLU around the sum. Table 23 ends each of its convolutions, the block's second too, with a ReLU; we do the
        same. It shows none after the sum; we keep ResNet's, as the report says that only the convolutions changed.
      * Biases in Table 23. Only the stem prints bias=False; 722,186 holds only if no convolution has a bias and only
        the pointwise convolution has a batch norm.
    """

    blocks_per_stage: Sequence[int]
    features: int = 64
    bottleneck: int | None = None
    groups: int = 1
    separable: bool = False
    stem: int = 3
    imagenet: bool = False
    dropout: float | None = None
    num_classes: int = 10
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool = False):
        size, stride = (7, 2) if self.imagenet else (self.stem, 1)
        x = ConvBatchNorm(64, size, stride, dtype=self.dtype, name="stem")(images, train)
        if self.imagenet:
            x = max_pool(x, 3, stride=2, padding=1)
        for stage, num_blocks in enumerate(self.blocks_per_stage):
            for block in range(num_blocks):
                x = ResidualBlock(
                    features=self.features * 2**stage,
                    stride=2 if stage > 0 and block == 0 else 1,
                    bottleneck=self.bottleneck and self.bottleneck * 2**stage,
                    groups=self.groups,
                    separable=self.separable,
                    dtype=self.dtype,
                    name=f"stage{stage + 1}_block{block + 1}",
                )(x, train)
        return average_and_classify(x, train, self.num_classes, self.dropout, self.dtype)
