"""The networks of report 001 (Lai): origin_net and what became of it, modified_net."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from cifar_jax.models.layers import (
    BatchNorm,
    Conv,
    DepthwiseConv,
    Dropout,
    Linear,
    classify,
    max_pool,
    relu,
)


class OriginNet(nn.Module):
    """The network to improve on: report 001 (Lai), Table III; 48,252 parameters with 10 classes.

        conv 2x2, 6, padding 1 -> ReLU -> max pool 2x2     [B, 32, 32, 3] -> [B, 33, 33, 6]  -> [B, 16, 16, 6]
        conv 2x2, 16, padding 1 -> ReLU -> max pool 2x2    [B, 16, 16, 6] -> [B, 17, 17, 16] -> [B, 8, 8, 16]
        conv 2x2, 32 -> ReLU -> max pool 2x2               [B, 8, 8, 16]  -> [B, 7, 7, 32]   -> [B, 3, 3, 32]
        linear 120 -> ReLU -> linear 84 -> ReLU -> linear num_classes

    Open choices:
      * Kernel size and padding. Table III prints neither; only these give its output sizes and counts.
      * Activation. Table III lists none; ReLU, as in the author's repository that appendix B points to.
    """

    num_classes: int = 10
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool = False):
        x = images
        for layer, (features, padding) in enumerate(((6, 1), (16, 1), (32, 0)), start=1):
            conv = Conv(features, 2, padding=padding, dtype=self.dtype, name=f"conv{layer}")
            x = max_pool(relu(conv(x), f"conv{layer}_relu"))
        x = x.reshape(x.shape[0], -1)
        x = relu(Linear(120, dtype=self.dtype, name="fc1")(x), "fc1_relu")
        x = relu(Linear(84, dtype=self.dtype, name="fc2")(x), "fc2_relu")
        return classify(x, self.num_classes, "fc3", self.dtype)


class ModifiedNet(nn.Module):
    """The improved network: report 001 (Lai), Table VI; 35,730 parameters with 10 classes.

        conv 3x3, 8 -> batch norm -> ReLU -> max pool 2x2       [B, 32, 32, 3]  -> [B, 16, 16, 8]
        conv 3x3, 12 -> batch norm -> ReLU -> max pool 2x2      [B, 16, 16, 8]  -> [B, 8, 8, 12]
        conv 3x3, 16 -> batch norm -> ReLU -> max pool 2x2      [B, 8, 8, 12]   -> [B, 4, 4, 16]
        linear 100 -> ReLU -> dropout -> linear 64 -> ReLU -> dropout -> linear num_classes

    The text (section III.B, 1 to 5) describes another network: 10, 12 and 24 filters, depthwise separable
    convolutions, batch norm "after each convolutional and fully connected layer". That is `separable`: each
    convolution a depthwise 3x3 and a pointwise 1x1, and batch norm before the ReLU of the two hidden linear layers.
    It has 46,768 parameters, more than Table VI's, for the first linear layer now sees 4x4x24 numbers.

    Open choices:
      * Which of the two. The reported count is Table VI's in every table, and that network is the one in the author's
        repository (appendix B), so it is the default.
      * Activation and dropout rate. Not in Table VI; the text says "typically 0.2 to 0.5". ReLU and 0.5, as in the
        author's repository.
      * `separable`: nothing between depthwise and pointwise convolution, as in the text's equation 5; both have a
        bias, like the convolutions of Table VI; none but the logits' linear layer is without batch norm.
    """

    separable: bool = False
    dropout: float = 0.5
    num_classes: int = 10
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool = False):
        x = images
        for layer, features in enumerate((10, 12, 24) if self.separable else (8, 12, 16), start=1):
            x = self._conv(x, features, f"conv{layer}")
            x = max_pool(BatchNorm(relu=True, dtype=self.dtype, name=f"bn{layer}")(x, train))
        x = x.reshape(x.shape[0], -1)
        for layer, features in enumerate((100, 64), start=1):
            x = Linear(features, dtype=self.dtype, name=f"fc{layer}")(x)
            if self.separable:
                x = BatchNorm(dtype=self.dtype, name=f"fc{layer}_bn")(x, train)
            x = Dropout(self.dropout)(relu(x, f"fc{layer}_relu"), train)
        return classify(x, self.num_classes, "fc3", self.dtype)

    def _conv(self, x, features, name):
        if not self.separable:
            return Conv(features, 3, padding=1, dtype=self.dtype, name=name)(x)
        depthwise = DepthwiseConv(
            x.shape[-1], 3, padding=1, dtype=self.dtype, name=f"{name}_depthwise"
        )
        return Conv(features, 1, dtype=self.dtype, name=f"{name}_pointwise")(depthwise(x))
