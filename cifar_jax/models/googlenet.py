"""GoogLeNet (Szegedy et al. 2015, "Going Deeper with Convolutions"): at ImageNet's size, and for 32x32 images."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from cifar_jax.models.layers import ConvBatchNorm, average_and_classify, max_pool

# The paper's Table 1: features of the 1x1; of the 3x3's reduction and the 3x3; of the 5x5's reduction and
# the 5x5; of the pool's projection. They add up, without the reductions, to the features of the block.
STAGES = {
    3: {"a": (64, 96, 128, 16, 32, 32), "b": (128, 128, 192, 32, 96, 64)},
    4: {
        "a": (192, 96, 208, 16, 48, 64),
        "b": (160, 112, 224, 24, 64, 64),
        "c": (128, 128, 256, 24, 64, 64),
        "d": (112, 144, 288, 32, 64, 64),
        "e": (256, 160, 320, 32, 128, 128),
    },
    5: {"a": (256, 160, 320, 32, 128, 128), "b": (384, 192, 384, 48, 128, 128)},
}


def conv_batch_norm(imagenet: bool, dtype) -> partial:
    """Return the convolution of either form, with batch norm and ReLU: ImageNet's has no bias, another epsilon."""
    epsilon = 1e-3 if imagenet else 1e-5
    return partial(ConvBatchNorm, use_bias=not imagenet, epsilon=epsilon, dtype=dtype)


class Inception(nn.Module):
    """Four branches of one feature map, side by side: [B, H, W, Cin] -> [B, H, W, one + three + five + pool].

        branch 1: 1x1, `one`
        branch 2: 1x1, reduce_three -> 3x3, `three`
        branch 3: 1x1, reduce_five -> 3x3, `five` (-> another, but for `imagenet`)
        branch 4: max pool 3x3 with stride 1 -> 1x1, `pool`

    `widths` are (one, reduce_three, three, reduce_five, five, pool). Batch norm and ReLU follow each convolution.
    """

    widths: Sequence[int]
    imagenet: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        one, reduce_three, three, reduce_five, five, pool = self.widths
        pooled = max_pool(x, 3, stride=1, padding=1)
        branches = (
            (x, [(one, 1)]),
            (x, [(reduce_three, 1), (three, 3)]),
            (x, [(reduce_five, 1), (five, 3)] + [(five, 3)] * (not self.imagenet)),
            (pooled, [(pool, 1)]),
        )
        conv, outputs = conv_batch_norm(self.imagenet, self.dtype), []
        for branch, (y, layers) in enumerate(branches, start=1):
            for layer, (features, size) in enumerate(layers, start=1):
                y = conv(features, size, name=f"branch{branch}_conv{layer}")(y, train)
            outputs.append(y)
        return jnp.concatenate(outputs, axis=-1)


class GoogLeNet(nn.Module):
    """GoogLeNet (Szegedy et al. 2015, Table 1) with batch norm (Ioffe and Szegedy 2015).

    `imagenet` is googlenet_imagenet, 6,624,904 parameters with 1000 classes, as torchvision has it:

        conv 7x7, 64, stride 2 -> max pool                [B, 224, 224, 3] -> [B, 56, 56, 64]
        conv 1x1, 64 -> conv 3x3, 192 -> max pool         [B, 56, 56, 64]  -> [B, 28, 28, 192]
        inception 3a, 3b -> max pool                      [B, 28, 28, 192] -> [B, 14, 14, 480]
        inception 4a, 4b, 4c, 4d, 4e -> max pool          [B, 14, 14, 480] -> [B, 7, 7, 832]
        inception 5a, 5b                                  [B, 7, 7, 832]   -> [B, 7, 7, 1024]
        average over the pixels -> dropout -> linear num_classes

    Otherwise it is googlenet, 6,166,250 parameters with 10 classes, as in kuangliu/pytorch-cifar: a 3x3 convolution
    with 192 features instead of the first two rows, which keeps 32x32 pixels, and no dropout; the inceptions work
    on 32x32, 16x16 and 8x8 pixels. There is a batch norm and a ReLU after every convolution of either.

    Open choices, made by the counts:
      * The 5x5 of branch 3. ImageNet's form has a 3x3 in its place, torchvision's known deviation, which its
        published weights have too. The CIFAR form has two 3x3, which see the same 5x5 pixels (Szegedy et al. 2016).
      * Biases. Batch norm takes a convolution's bias away again; the CIFAR form nevertheless has them.
      * Epsilon of batch norm: 0.001 for ImageNet's form, PyTorch's 1e-5 for the other.
      * Max pools. 3x3 with stride 2, at the edge cut off (ceil mode) for ImageNet's form, where the last is 2x2
        (the paper: 3x3), and with a padding of 1 for the other.
      * Dropout rate: 0.2, torchvision's (the paper: 0.4).
      * Auxiliary classifiers: none (the paper: two, in training only).
      * Initialisation: PyTorch's default of each layer, for both.
    torchvision's published weights want pixels scaled to [-1, 1]: mean and deviation 0.5.
    """

    imagenet: bool = False
    dropout: float | None = None
    num_classes: int = 10
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool = False):
        x = self._stem(images, train)
        for stage, blocks in STAGES.items():
            for block, widths in blocks.items():
                x = Inception(
                    widths, self.imagenet, dtype=self.dtype, name=f"inception{stage}{block}"
                )(x, train)
            if stage < 5:
                x = self._pool(x, window=2 if self.imagenet and stage == 4 else 3)
        return average_and_classify(x, train, self.num_classes, self.dropout, self.dtype)

    def _stem(self, x, train):
        conv = conv_batch_norm(self.imagenet, self.dtype)
        if not self.imagenet:
            return conv(192, 3, name="stem")(x, train)
        x = self._pool(conv(64, 7, stride=2, name="conv1")(x, train))
        x = conv(64, 1, name="conv2")(x, train)
        return self._pool(conv(192, 3, name="conv3")(x, train))

    def _pool(self, x, window=3):
        if self.imagenet:
            return max_pool(x, window, stride=2, ceil=True)
        return max_pool(x, window, stride=2, padding=1)
