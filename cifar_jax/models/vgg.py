"""VGG (Simonyan and Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image Recognition")."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from cifar_jax.models.layers import (
    Conv,
    ConvBatchNorm,
    Dropout,
    Linear,
    adaptive_avg_pool,
    classify,
    max_pool,
    relu,
)


class VGG(nn.Module):
    """VGG, for 32x32 images as in kuangliu/pytorch-cifar: with batch norm and one linear layer.

        stages of 3x3 convolutions, each -> batch norm -> ReLU, with 64, 128, 256, 512 and 512 features;
        each stage ends with a max pool 2x2        [B, 32, 32, 3] -> [B, 1, 1, 512]
        linear num_classes

    Stages of 2, 2, 3, 3 and 3 convolutions are the paper's configuration D (Table 1), VGG-16: vgg16_bn, 14,728,266
    parameters with 10 classes. The convolutions keep the biases that batch norm takes away again, as there.

    `imagenet` is the paper's form, without batch norm: vgg16, with 1000 classes 138,357,544 parameters, the one of
    report 001's (Lai) Table IV. Each convolution is followed by ReLU, and the end is

        average over 7x7 cells, as in torchvision for images of any size     [B, 7, 7, 512] -> [B, 7, 7, 512]
        flatten -> two of (linear `hidden` -> ReLU -> dropout) -> linear num_classes

    Open choice: initialisation. PyTorch's default of each layer, as in all models here; torchvision draws vgg16's
    convolutions from He's normal distribution, and the paper starts from a trained shallower network. Without batch
    norm the default lets the image fade (by 6^-1/2 a layer), so vgg16 is for trained weights more than for training.
    """

    convs_per_stage: Sequence[int]
    imagenet: bool = False
    hidden: int = 4096  # Width of the two hidden linear layers.
    dropout: float | None = None
    num_classes: int = 10
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool = False):
        x = images
        for stage, num_convs in enumerate(self.convs_per_stage):
            for conv in range(num_convs):
                name = f"stage{stage + 1}_conv{conv + 1}"
                x = self._conv(x, min(64 * 2**stage, 512), name, train)
            x = max_pool(x)
        x = self._hidden(x, train) if self.imagenet else x.reshape(x.shape[0], -1)
        return classify(x, self.num_classes, "fc3" if self.imagenet else "fc", self.dtype)

    def _conv(self, x, features, name, train):
        if self.imagenet:
            x = Conv(features, 3, padding=1, dtype=self.dtype, name=name)(x)
            return relu(x, f"{name}_relu")
        return ConvBatchNorm(features, use_bias=True, dtype=self.dtype, name=name)(x, train)

    def _hidden(self, x, train):
        x = adaptive_avg_pool(x, 7)
        x = x.reshape(x.shape[0], -1)
        for layer in (1, 2):
            x = Linear(self.hidden, dtype=self.dtype, name=f"fc{layer}")(x)
            x = relu(x, f"fc{layer}_relu")
            if self.dropout is not None:
                x = Dropout(self.dropout)(x, train)
        return x
