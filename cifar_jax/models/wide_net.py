"""The networks of report 003 (Cao), sections 3.2 to 3.4: wide_net, gap_net and attention_net."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from cifar_jax.models.attention import SelfAttention
from cifar_jax.models.layers import (
    BatchNorm,
    Conv,
    Dropout,
    Linear,
    classify,
    max_pool,
    pool_pixels,
    relu,
)


class WideNet(nn.Module):
    """Three wide convolutions: report 003 (Cao), Tables 4, 7 and 10, each network the one before and something more.

        conv 3x3, 64 -> ReLU -> max pool 2x2       [B, 32, 32, 3]   -> [B, 16, 16, 64]
        conv 3x3, 128 -> ReLU -> max pool 2x2      [B, 16, 16, 64]  -> [B, 8, 8, 128]
        conv 3x3, 256 -> ReLU                      [B, 8, 8, 128]   -> [B, 8, 8, 256]
        flatten -> linear 120 -> ReLU -> linear 84 -> ReLU -> linear num_classes

    As it stands it is wide_net (Table 4; 2,348,030 parameters with 10 classes). `global_pool` makes it gap_net
    (Table 7; 413,566): batch norm before each convolution's ReLU, and in place of the flattening an average over the
    pixels, [B, 256], with dropout. `attention` on top of that makes it attention_net (Table 10; 521,646):
    self-attention after each batch norm and its ReLU.

    Open choices:
      * "fc1, 256 neurons" of Tables 7 and 10 is no layer but the 256 features that the dropout sees: only so the
        counts hold. Table 4's names fc1, fc2, fc3 are kept for the layers of 120, 84 and 10.
      * Activation and kind of pooling. Not stated; ReLU and max pooling as in the PyTorch tutorial's network, from
        which the report sets out (its basic_net).
      * ReLU and attention. Not stated which comes first; the ReLU, so that gap_net's layers stay together.
      * The attention's residual gain is 1 and no parameter: see `attention.SelfAttention`.
    """

    global_pool: bool = False
    attention: bool = False
    dropout: float | None = None
    num_classes: int = 10
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool = False):
        x = images
        for stage, features in enumerate((64, 128, 256), start=1):
            if stage > 1:
                x = max_pool(x)
            x = Conv(features, 3, padding=1, dtype=self.dtype, name=f"conv{stage}")(x)
            batch_norm = BatchNorm(relu=True, dtype=self.dtype, name=f"bn{stage}")
            x = batch_norm(x, train) if self.global_pool else relu(x, f"conv{stage}_relu")
            if self.attention:
                x = SelfAttention(dtype=self.dtype, name=f"attention{stage}")(x, train)
        x = pool_pixels(jnp.mean, x) if self.global_pool else x.reshape(x.shape[0], -1)
        if self.dropout is not None:
            x = Dropout(self.dropout)(x, train)
        x = relu(Linear(120, dtype=self.dtype, name="fc1")(x), "fc1_relu")
        x = relu(Linear(84, dtype=self.dtype, name="fc2")(x), "fc2_relu")
        return classify(x, self.num_classes, "fc3", self.dtype)
