"""The CIFAR ResNets of report 003 (Cao), section 3.5: resnet18, resnet10 and the depthwise separable resnet18_dw."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from cifar_jax.models.layers import BatchNorm, Conv, DepthwiseConv, Linear, storage_dtype


class ConvBatchNorm(nn.Module):
    """Convolution without bias -> batch norm -> optional ReLU; padded so that stride 1 keeps the size."""

    features: int
    kernel_size: int = 3
    stride: int = 1
    relu: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        x = Conv(
            self.features,
            self.kernel_size,
            self.stride,
            padding=self.kernel_size // 2,
            use_bias=False,
            dtype=self.dtype,
            name="conv",
        )(x)
        return BatchNorm(relu=self.relu, dtype=self.dtype, name="bn")(x, train)


class DepthwiseSeparableConv(nn.Module):
    """Depthwise 3x3 -> pointwise 1x1 -> batch norm -> ReLU, neither convolution biased (Table 23)."""

    features: int
    stride: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        x = DepthwiseConv(
            x.shape[-1],
            3,
            stride=self.stride,
            padding=1,
            use_bias=False,
            dtype=self.dtype,
            name="depthwise",
        )(x)
        x = Conv(self.features, 1, use_bias=False, dtype=self.dtype, name="pointwise")(x)
        return BatchNorm(relu=True, dtype=self.dtype, name="bn")(x, train)


class ResidualBlock(nn.Module):
    """relu(conv2(conv1(x)) + shortcut(x)), [B, H, W, Cin] -> [B, H / stride, W / stride, features].

    The shortcut is the identity, or a 1x1 convolution with batch norm where the shape changes.
    """

    features: int
    stride: int = 1
    separable: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        if self.separable:
            conv1 = DepthwiseSeparableConv(self.features, self.stride, self.dtype, name="conv1")
            conv2 = DepthwiseSeparableConv(self.features, 1, self.dtype, name="conv2")
        else:
            conv1 = ConvBatchNorm(self.features, 3, self.stride, True, self.dtype, name="conv1")
            conv2 = ConvBatchNorm(self.features, 3, 1, False, self.dtype, name="conv2")
        y = conv2(conv1(x, train), train)
        if x.shape != y.shape:
            project = ConvBatchNorm(
                self.features, 1, self.stride, False, self.dtype, name="shortcut"
            )
            x = project(x, train)
        return nn.relu(y + x)


class ResNet(nn.Module):
    """ResNet for 32x32 images: report 003 (Cao), section 3.5 and Table 23.

        conv 3x3, 64 -> batch norm -> ReLU         [B, 32, 32, 3]  -> [B, 32, 32, 64]
        4 stages of residual blocks: 64, 128, 256 and 512 features; stages 2 to 4 begin with stride 2
        average pool 4x4 -> dropout -> linear      [B, 4, 4, 512]  -> [B, num_classes]

    Two blocks a stage are resnet18 (11,173,962 parameters, Tables 13 to 18), one is resnet10 (4,903,242, Tables 19 to
    22), one with `separable` convolutions resnet18_dw (722,186, Tables 23 to 25), all with 10 classes.

    Open choices:
      * The form. The report says ResNet18 only; its counts are those of the CIFAR form (kuangliu/pytorch-cifar):
        3x3 stem, no max pool, 1x1 convolution and batch norm on the shortcut where the shape changes.
      * Dropout rate. "A dropout layer before the final full-connected layer", no rate: 0.5, the only rate the report
        states (Table 7). Table 23 lists every layer and no dropout, so resnet18_dw has none (`dropout=None`).
      * ReLU around the sum. Table 23 ends each of its convolutions, the block's second too, with a ReLU; we do the
        same. It shows none after the sum; we keep ResNet's, as the report says that only the convolutions changed.
      * Biases in Table 23. Only the stem prints bias=False; 722,186 holds only if no convolution has a bias and only
        the pointwise convolution has a batch norm.
    """

    blocks_per_stage: Sequence[int]
    separable: bool = False
    dropout: float | None = None
    num_classes: int = 10
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool = False):
        x = ConvBatchNorm(64, dtype=self.dtype, name="stem")(images, train)
        for stage, num_blocks in enumerate(self.blocks_per_stage, start=1):
            for block in range(1, num_blocks + 1):
                x = ResidualBlock(
                    features=32 * 2**stage,
                    stride=2 if stage > 1 and block == 1 else 1,
                    separable=self.separable,
                    dtype=self.dtype,
                    name=f"stage{stage}_block{block}",
                )(x, train)
        x = jnp.mean(x, axis=(1, 2))
        if self.dropout is not None:
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        logits = Linear(self.num_classes, dtype=self.dtype, name="fc")(x)
        return logits.astype(storage_dtype(self.dtype))
