"""DenseNet (Huang et al. 2017, "Densely Connected Convolutional Networks"), with bottlenecks and compression (BC)."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from cifar_jax.models.layers import (
    BatchNorm,
    Conv,
    ConvBatchNorm,
    average_and_classify,
    avg_pool,
    max_pool,
)


class DenseLayer(nn.Module):
    """conv 3x3(relu(bn(conv 1x1(relu(bn(x)))))), [B, H, W, C] -> [B, H, W, growth], with 4 growth in between."""

    growth: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        norm = partial(BatchNorm, relu=True, dtype=self.dtype)
        conv = partial(Conv, use_bias=False, dtype=self.dtype)
        x = conv(4 * self.growth, 1, name="conv1")(norm(name="bn1")(x, train))
        return conv(self.growth, 3, padding=1, name="conv2")(norm(name="bn2")(x, train))


class Transition(nn.Module):
    """Batch norm -> ReLU -> conv 1x1 -> average pool 2x2, [B, H, W, C] -> [B, H / 2, W / 2, C / 2]."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        features = x.shape[-1] // 2
        x = BatchNorm(relu=True, dtype=self.dtype, name="bn")(x, train)
        return avg_pool(Conv(features, 1, use_bias=False, dtype=self.dtype, name="conv")(x))


class DenseNet(nn.Module):
    """DenseNet-BC, for 32x32 images as in kuangliu/pytorch-cifar.

        conv 3x3, 2 growth                                 [B, 32, 32, 3] -> [B, 32, 32, 64]
        blocks of dense layers, each adding its `growth` features to those before it; a transition, which halves
        features and size, between two blocks              [B, 32, 32, 64] -> [B, 4, 4, 1024]
        batch norm -> ReLU -> average over the pixels -> linear num_classes

    Blocks of 6, 12, 24 and 16 layers are DenseNet-121 (Table 1), here with a growth of 32: densenet121, 6,956,298
    parameters with 10 classes.

    `imagenet` is the paper's form: a stem of a 7x7 convolution with stride 2, batch norm, ReLU and a 3x3 max pool with
    stride 2, [B, 224, 224, 3] -> [B, 56, 56, 64]. So it is torchvision's, densenet121_imagenet, with 1000 classes
    7,978,856 parameters, the one of report 001's (Lai) Table IV.

    Open choices:
      * Order of the features. The paper's and torchvision's has a layer's behind those before it, kuangliu's in front
        of them. It tells their weights apart and nothing else, so each form has the order of its weights.
      * Initialisation. PyTorch's default of each layer, as in all models here; the paper and torchvision draw the
        convolutions from He's normal distribution.
    """

    layers_per_block: Sequence[int]
    growth: int = 32
    imagenet: bool = False
    num_classes: int = 10
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool = False):
        x = self._stem(images, train)
        for block, num_layers in enumerate(self.layers_per_block, start=1):
            if block > 1:
                x = Transition(dtype=self.dtype, name=f"transition{block - 1}")(x, train)
            for layer in range(1, num_layers + 1):
                name = f"block{block}_layer{layer}"
                new = DenseLayer(self.growth, dtype=self.dtype, name=name)(x, train)
                x = jnp.concatenate([x, new] if self.imagenet else [new, x], axis=-1)
        x = BatchNorm(relu=True, dtype=self.dtype, name="bn")(x, train)
        return average_and_classify(x, train, self.num_classes, None, self.dtype)

    def _stem(self, images, train):
        features = 2 * self.growth
        if self.imagenet:
            x = ConvBatchNorm(features, 7, stride=2, dtype=self.dtype, name="stem")(images, train)
            return max_pool(x, 3, stride=2, padding=1)
        return Conv(features, 3, padding=1, use_bias=False, dtype=self.dtype, name="stem")(images)
