"""The basic model of report 003 (Cao), Table 1."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from cifar_jax.models.layers import Conv, Linear, classify, max_pool, relu


class BasicNet(nn.Module):
    """LeNet for colour images: report 003 (Cao), Table 1; 62,006 parameters with 10 classes.

        conv 5x5, 6 -> ReLU -> max pool 2x2        [B, 32, 32, 3]  -> [B, 14, 14, 6]
        conv 5x5, 16 -> ReLU -> max pool 2x2       [B, 14, 14, 6]  -> [B, 5, 5, 16]
        linear 120 -> ReLU -> linear 84 -> ReLU -> linear num_classes

    Open choices:
      * Kernel size. Table 1 prints 3x3; the text says 5x5, and only 5x5 gives the table's output sizes and count.
      * Activation and kind of pooling. Not stated; ReLU and max pooling as in the PyTorch tutorial, whose network
        this is layer by layer.
    """

    num_classes: int = 10
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool = False):
        x = max_pool(relu(Conv(6, 5, dtype=self.dtype, name="conv1")(images), "conv1_relu"))
        x = max_pool(relu(Conv(16, 5, dtype=self.dtype, name="conv2")(x), "conv2_relu"))
        x = x.reshape(x.shape[0], -1)
        x = relu(Linear(120, dtype=self.dtype, name="fc1")(x), "fc1_relu")
        x = relu(Linear(84, dtype=self.dtype, name="fc2")(x), "fc2_relu")
        return classify(x, self.num_classes, "fc3", self.dtype)
