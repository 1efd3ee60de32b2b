"""MobileNetV2 (Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks")."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from cifar_jax.models.layers import ConvBatchNorm, Named, average_and_classify


def conv_norm_relu(x, train, relu6, name, **options):
    """Apply `ConvBatchNorm`; with `relu6` the ReLU is held below 6, and a layer of its own."""
    x = ConvBatchNorm(relu=not relu6, name=name, **options)(x, train)
    return Named(nn.relu6, name=f"{name}_relu6")(x) if relu6 else x


class InvertedResidual(nn.Module):
    """x + project(depthwise(expand(x))), [B, H, W, Cin] -> [B, H / stride, W / stride, features].

    Expand: 1x1 convolution to `expansion` Cin features, batch norm, ReLU. Depthwise: 3x3 with the stride, batch norm,
    ReLU. Project: 1x1 to `features`, batch norm. x is added where the stride is 1 and the width stays.

    `imagenet` takes ReLU6 for ReLU, and has no expand layer where `expansion` is 1. Without it, as in kuangliu's, x
    is added through a 1x1 convolution with batch norm where the stride is 1 and the width changes.
    """

    features: int
    stride: int = 1
    expansion: int = 6
    imagenet: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        layer = partial(conv_norm_relu, train=train, relu6=self.imagenet, dtype=self.dtype)
        linear = partial(ConvBatchNorm, self.features, 1, relu=False, dtype=self.dtype)
        inner = self.expansion * x.shape[-1]
        y = x
        if self.expansion > 1 or not self.imagenet:
            y = layer(y, features=inner, kernel_size=1, name="expand")
        y = layer(y, features=inner, stride=self.stride, groups=inner, name="depthwise")
        y = linear(name="project")(y, train)
        if self.stride != 1:
            return y
        if x.shape == y.shape:
            return x + y
        return y if self.imagenet else linear(name="shortcut")(x, train) + y


class MobileNetV2(nn.Module):
    """MobileNetV2, for 32x32 images as in kuangliu/pytorch-cifar.

        conv 3x3, 32 -> batch norm -> ReLU         [B, 32, 32, 3]  -> [B, 32, 32, 32]
        17 inverted residual blocks (Table 2)      [B, 32, 32, 32] -> [B, 4, 4, 320]
        conv 1x1, 1280 -> batch norm -> ReLU       [B, 4, 4, 320]  -> [B, 4, 4, 1280]
        average over the pixels -> linear num_classes

    It is mobilenet_v2, 2,296,922 parameters with 10 classes.

    `imagenet` is the paper's form, as in torchvision: stride 2 in the stem and in the second stage too,
    [B, 224, 224, 3] -> [B, 7, 7, 1280], its own blocks (see `InvertedResidual`), ReLU6, and dropout before the linear
    layer. So it is mobilenet_v2_imagenet, 2,236,682 parameters with 10 classes, the one of report 001's (Lai) Table IV;
    3,504,872 with 1000.

    Open choices:
      * Expansion by 1. The paper's Table 1 has the expand layer in every block; the count holds only if the first
        block of the `imagenet` form has none, as in torchvision. kuangliu's has it.
      * Initialisation. PyTorch's default of each layer, as in all models here; torchvision draws the convolutions
        from He's normal distribution.
    """

    imagenet: bool = False
    dropout: float | None = None
    num_classes: int = 10
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool = False):
        layer = partial(conv_norm_relu, train=train, relu6=self.imagenet, dtype=self.dtype)
        early = 2 if self.imagenet else 1
        # Features, number of blocks and stride of the first one, by stage.
        stages = (
            (16, 1, 1),
            (24, 2, early),
            (32, 3, 2),
            (64, 4, 2),
            (96, 3, 1),
            (160, 3, 2),
            (320, 1, 1),
        )
        x, blocks = layer(images, features=32, stride=early, name="stem"), 0
        for features, num_blocks, stride in stages:
            for block in range(num_blocks):
                blocks += 1
                x = InvertedResidual(
                    features,
                    stride=stride if block == 0 else 1,
                    expansion=6 if blocks > 1 else 1,
                    imagenet=self.imagenet,
                    dtype=self.dtype,
                    name=f"block{blocks}",
                )(x, train)
        x = layer(x, features=1280, kernel_size=1, name="head")
        return average_and_classify(x, train, self.num_classes, self.dropout, self.dtype)
