"""The network of report 000 (Mantovani and Palmieri), Table 1."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from cifar_jax.models.layers import (
    SLOPES,
    BatchNorm,
    Conv,
    Dropout,
    Linear,
    Named,
    classify,
    max_pool,
)
from cifar_jax.models.ops.normalization import rectify


class PlainCNN(nn.Module):
    """Six convolutions, four linear layers: report 000 (Mantovani and Palmieri), Table 1.

        conv 3x3, 8 -> conv 3x3, 16 -> max pool 2x2        [B, 32, 32, 3]  -> [B, 16, 16, 16]
        conv 3x3, 32 -> conv 3x3, 64 -> max pool 2x2       [B, 16, 16, 16] -> [B, 8, 8, 64]
        conv 3x3, 128 -> conv 3x3, 128 -> max pool 2x2     [B, 8, 8, 64]   -> [B, 4, 4, 128]
        linear 512 -> dropout -> linear 128 -> dropout -> linear 32 -> linear num_classes

    Each convolution is padded by 1 and followed by batch norm and the activation, each hidden linear layer by the
    activation. 1,365,930 parameters with 10 classes. The report's four models (Table 2) are Model 1: leaky ReLU,
    dropout 0.5; Model 2: leaky ReLU, none; Model 3: ReLU, dropout 0.5; Model 4: ReLU, none.

    Open choices:
      * The default is Model 1, the first: Table 1 prints the dropout layers.
      * Dropout. The text puts it after each linear layer, Table 1 after the two of 512 and 128 only; the table's.
      * Place of the activations. Table 1 does not list them; the text has them after the convolutions' batch norms.
        After each hidden linear layer as well, without which these would be one linear map.
      * Slope of the leaky ReLU. Not stated; 0.01, PyTorch's default.

    Args:
      activation: a name of `layers.SLOPES`.
    """

    activation: str = "leaky_relu"
    dropout: float = 0.5
    num_classes: int = 10
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool = False):
        slope = SLOPES[self.activation]

        def activation(x, layer):
            return Named(partial(rectify, slope=slope), name=f"{layer}_activation")(x)

        dropout = Dropout(self.dropout)
        x = images
        for layer, features in enumerate((8, 16, 32, 64, 128, 128), start=1):
            x = Conv(features, 3, padding=1, dtype=self.dtype, name=f"conv{layer}")(x)
            x = BatchNorm(relu=True, slope=slope, dtype=self.dtype, name=f"bn{layer}")(x, train)
            x = Named(lambda x: x, name=f"conv{layer}_activation")(x)
            if layer % 2 == 0:
                x = max_pool(x)
        x = x.reshape(x.shape[0], -1)
        x = dropout(activation(Linear(512, dtype=self.dtype, name="fc1")(x), "fc1"), train)
        x = dropout(activation(Linear(128, dtype=self.dtype, name="fc2")(x), "fc2"), train)
        x = activation(Linear(32, dtype=self.dtype, name="fc3")(x), "fc3")
        return classify(x, self.num_classes, "fc4", self.dtype)
