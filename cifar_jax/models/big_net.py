"""The network of report 004 (Murgolo), "bignet", and its improved form."""

from types import MappingProxyType
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from cifar_jax.models.layers import BatchNorm, Conv, Dropout, Linear, classify, max_pool, relu


class BigNet(nn.Module):
    """Three 5x5 convolutions: report 004 (Murgolo), section 2.1; 116,906 parameters with 10 classes.

        conv 5x5, 32, padding 2 -> ReLU -> max pool 3x3, stride 2      [B, 32, 32, 3]  -> [B, 15, 15, 32]
        conv 5x5, 32, padding 2 -> ReLU -> max pool 3x3, stride 2      [B, 15, 15, 32] -> [B, 7, 7, 32]
        conv 5x5, 64, padding 2 -> ReLU -> max pool 3x3, stride 2      [B, 7, 7, 32]   -> [B, 3, 3, 64]
        flatten -> linear 64 -> ReLU -> linear num_classes

    The improved form (sections 2.2 and 3.1) has "two additional layers": `batch_norm`, and dropout of 0.2. It has
    117,034 parameters.

    Open choices:
      * Place of the batch norm. Not stated; between the linear layer of 64 and its ReLU. In section 3.3 the mean
        activation of one of the last ReLUs falls below 0.32 on images unlike the training set's; behind a batch norm
        with scale 1 and offset 0 it is 0.40 on the training set's (the mean of the positive part of a standard normal
        variable), behind an unnormalised layer it could be anything.
      * Place of the dropout. Not stated; before the last linear layer, the usual one. Without batch norm it may be
        used too: that is the ablation "No BatchNorm" of Table 1.
      * Initialisation. Not stated; Glorot uniform weights and zero biases. The report speaks MATLAB ("sgdm",
        "piecewise", "training-progress", the function "activations"), and these are the defaults of its
        convolution2dLayer and fullyConnectedLayer, so big_net has them, as the other models have PyTorch's.
      * Batch statistics. MATLAB takes them over the whole training set after the last step; here they are running
        averages, as in the other models.
    """

    # The report's own names (section 3.3), MATLAB's, of what it looks at: the ReLU of the last convolution, and that
    # of the layer of 64.
    layer_aliases = MappingProxyType({"relu_9": "conv3_relu", "relu_10": "fc1_relu"})

    batch_norm: bool = False
    dropout: float = 0.0
    num_classes: int = 10
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool = False):
        options = {
            "kernel_init": nn.initializers.glorot_uniform(),
            "bias_init": nn.initializers.zeros,
            "dtype": self.dtype,
        }
        x = images
        for layer, features in enumerate((32, 32, 64), start=1):
            x = Conv(features, 5, padding=2, name=f"conv{layer}", **options)(x)
            x = max_pool(relu(x, f"conv{layer}_relu"), window=3, stride=2)
        x = x.reshape(x.shape[0], -1)
        x = Linear(64, name="fc1", **options)(x)
        if self.batch_norm:
            x = BatchNorm(dtype=self.dtype, name="bn")(x, train)
        x = Dropout(self.dropout)(relu(x, "fc1_relu"), train)
        return classify(x, self.num_classes, "fc2", **options)
