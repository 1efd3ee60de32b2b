"""Inception v3 (Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision")."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from cifar_jax.errors import ConfigError
from cifar_jax.models.layers import ConvBatchNorm, average_and_classify, avg_pool, max_pool

ConvBatchNormV3 = partial(ConvBatchNorm, epsilon=1e-3)

# The branches of the blocks: by name, their convolutions one after the other, each (features, kernel size).
# A rectangle is (rows, columns); two of them stand side by side.
GRID_35 = {  # The paper's Fig. 5.
    "1x1": [(64, 1)],
    "5x5": [(48, 1), (64, 5)],
    "3x3_double": [(64, 1), (96, 3), (96, 3)],
}
GRID_35_TO_17 = {  # Fig. 10.
    "3x3": [(384, 3)],
    "3x3_double": [(64, 1), (96, 3), (96, 3)],
}
GRID_17_TO_8 = {
    "3x3": [(192, 1), (320, 3)],
    "7x7_3x3": [(192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3)],
}
GRID_8 = {  # Fig. 7.
    "1x1": [(320, 1)],
    "3x3": [(384, 1), (384, (1, 3), (3, 1))],
    "3x3_double": [(448, 1), (384, 3), (384, (1, 3), (3, 1))],
}


def grid_17(width):
    """Return the branches of Fig. 6, with `width` features inside."""
    row, column = (width, (1, 7)), (width, (7, 1))
    return {
        "1x1": [(192, 1)],
        "7x7": [(width, 1), row, (192, (7, 1))],
        "7x7_double": [(width, 1), column, row, column, (192, (1, 7))],
    }


class Mixed(nn.Module):
    """Branches of one feature map side by side, and a pool of it; batch norm and ReLU after each convolution.

    With `pool` features: [B, H, W, Cin] -> [B, H, W, features of the branches + pool]; the pool is an average of
    3x3 with stride 1, the zeros around the map included, then a 1x1 convolution.
    Without: [B, H, W, Cin] -> [B, (H - 1) // 2, (W - 1) // 2, features of the branches + Cin]; the last convolution
    of each branch and the pool, a maximum of 3x3, have stride 2 and no padding.
    """

    branches: Mapping[str, Sequence]  # As GRID_35.
    pool: int | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        conv = partial(ConvBatchNormV3, dtype=self.dtype)
        outputs = [self._branch(conv, name, x, train) for name in self.branches]
        if self.pool is None:
            outputs.append(max_pool(x, 3, stride=2))
        else:
            pooled = avg_pool(x, 3, stride=1, padding=1)
            outputs.append(conv(self.pool, 1, name="branch_pool")(pooled, train))
        return jnp.concatenate(outputs, axis=-1)

    def _branch(self, conv, branch, x, train):
        layers = self.branches[branch]
        for layer, (features, *sizes) in enumerate(layers, start=1):
            last = layer == len(layers)
            halve = {"stride": 2, "padding": 0} if last and self.pool is None else {}
            number = f"_{layer}" if len(layers) > 1 else ""
            letters = "ab" if len(sizes) > 1 else [""]
            sides = [
                conv(features, size, **halve, name=f"branch{branch}{number}{letter}")(x, train)
                for size, letter in zip(sizes, letters, strict=True)
            ]
            x = jnp.concatenate(sides, axis=-1)
        return x


class AuxiliaryHead(nn.Module):
    """The classifier of an inner feature map (the paper's Fig. 8), [B, 17, 17, 768] -> [B, num_classes].

    Average pool 5x5 with stride 3 -> conv 1x1, 128 -> conv 5x5, 768, without padding -> average over the pixels
    -> linear.
    """

    num_classes: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        if min(x.shape[1:3]) < 17:
            raise ConfigError(
                "inception_v3 takes images of at least 299 x 299 when it is trained or initialised: its "
                f"auxiliary head needs a map of 17 x 17, not {x.shape[1]} x {x.shape[2]}"
            )
        conv = partial(ConvBatchNormV3, dtype=self.dtype)
        x = conv(128, 1, name="conv1x1")(avg_pool(x, 5, stride=3), train)
        x = conv(768, 5, padding=0, name="conv5x5")(x, train)
        return average_and_classify(x, train, self.num_classes, None, self.dtype)


class InceptionV3(nn.Module):
    """Inception v3 (Szegedy et al. 2016, Table 1) as torchvision has it: 27,161,264 parameters with 1000 classes.

        conv 3x3, 32, stride 2 -> conv 3x3, 32 -> conv 3x3, 64, padded     [B, 299, 299, 3] -> [B, 147, 147, 64]
        max pool 3x3, stride 2 -> conv 1x1, 80 -> conv 3x3, 192            [B, 147, 147, 64] -> [B, 71, 71, 192]
        max pool 3x3, stride 2                                             [B, 71, 71, 192] -> [B, 35, 35, 192]
        mixed 5b, 5c, 5d                                                   [B, 35, 35, 192] -> [B, 35, 35, 288]
        mixed 6a halves the map; 6b, 6c, 6d, 6e                            [B, 35, 35, 288] -> [B, 17, 17, 768]
        mixed 7a halves the map; 7b, 7c                                    [B, 17, 17, 768] -> [B, 8, 8, 2048]
        average over the pixels -> dropout -> linear num_classes

    Batch norm (epsilon 0.001) and ReLU follow every convolution; none has a bias, and those of the stem have no
    padding but where it is said.

    The auxiliary head classifies the output of mixed 6e. Its logits [B, num_classes] are no result of the model:
    in training they are stored in the collection "auxiliary" for who asks for it,

        logits, updates = model.apply(..., train=True, mutable=["batch_stats", "auxiliary"])
        loss = cross_entropy(logits) + 0.4 * cross_entropy(updates["auxiliary"]["logits"])

    with the weight of the authors' TensorFlow code and of PyTorch's fine-tuning tutorial (the paper gives none).
    Without that term the head gets no gradient. It is computed in training and when initialising, and then needs its
    17x17 map, so images of at least 299x299; it is not in evaluation, for which 75x75 are enough.

    Open choices, made by the count and the published weights, which are the authors':
      * Where they differ from the paper: Table 1 has a second convolution with stride 2 in place of the second max
        pool, and a 3x3 with 80 features; Fig. 5 has a 3x3 in place of the 5x5.
      * Widths inside the branches, which the paper does not give: 128, 160, 160 and 192 in 6b to 6e.
      * Dropout rate: 0.5, torchvision's (the paper: none stated).
      * Initialisation: PyTorch's default of each layer, here and in the head.
    The published weights want pixels scaled to [-1, 1]: mean and deviation 0.5.
    """

    dropout: float = 0.5
    num_classes: int = 1000
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool = False):
        conv = partial(ConvBatchNormV3, dtype=self.dtype)
        mixed = partial(Mixed, dtype=self.dtype)

        x = conv(32, 3, stride=2, padding=0, name="conv_1a")(images, train)
        x = conv(32, 3, padding=0, name="conv_2a")(x, train)
        x = conv(64, 3, name="conv_2b")(x, train)
        x = max_pool(x, 3, stride=2)
        x = conv(80, 1, name="conv_3b")(x, train)
        x = conv(192, 3, padding=0, name="conv_4a")(x, train)
        x = max_pool(x, 3, stride=2)

        x = mixed(GRID_35, pool=32, name="mixed_5b")(x, train)
        x = mixed(GRID_35, pool=64, name="mixed_5c")(x, train)
        x = mixed(GRID_35, pool=64, name="mixed_5d")(x, train)
        x = mixed(GRID_35_TO_17, name="mixed_6a")(x, train)
        x = mixed(grid_17(128), pool=192, name="mixed_6b")(x, train)
        x = mixed(grid_17(160), pool=192, name="mixed_6c")(x, train)
        x = mixed(grid_17(160), pool=192, name="mixed_6d")(x, train)
        x = mixed(grid_17(192), pool=192, name="mixed_6e")(x, train)
        if train or self.is_initializing():
            self._classify_early(x, train)
        x = mixed(GRID_17_TO_8, name="mixed_7a")(x, train)
        x = mixed(GRID_8, pool=192, name="mixed_7b")(x, train)
        x = mixed(GRID_8, pool=192, name="mixed_7c")(x, train)

        return average_and_classify(x, train, self.num_classes, self.dropout, self.dtype)

    def _classify_early(self, x, train):
        logits = AuxiliaryHead(self.num_classes, dtype=self.dtype, name="auxiliary")(x, train)
        if not self.is_initializing():  # Else it would be among the variables.
            self.sow("auxiliary", "logits", logits, reduce_fn=lambda _, new: new)
