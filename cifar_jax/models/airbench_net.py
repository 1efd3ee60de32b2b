"""The network of airbench94, in the widths of its Muon form.

Jordan, 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, 2024, https://arxiv.org/abs/2404.00498
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cifar_jax.models.layers import (
    BatchNorm,
    Conv,
    Named,
    classify,
    max_pool,
    pool_pixels,
    storage_dtype,
    uniform_fan_in,
)
from cifar_jax.models.ops import choice

GROUPS = (64, 256, 256)
# Of the whitening: the side of a patch, and what keeps directions without variance finite.
PATCH, EPSILON = 2, 5e-4


class AirbenchNet(nn.Module):
    """Seven convolutions and a linear layer; 1,971,352 trained parameters with 10 classes.

        whitening 2x2, 24 features -> GELU                      [B, 32, 32, 3]   -> [B, 31, 31, 24]
        conv 64 -> max pool 2x2 -> GELU -> conv 64 -> GELU      [B, 31, 31, 24]  -> [B, 15, 15, 64]
        conv 256 -> max pool 2x2 -> GELU -> conv 256 -> GELU    [B, 15, 15, 64]  -> [B, 7, 7, 256]
        conv 256 -> max pool 2x2 -> GELU -> conv 256 -> GELU    [B, 7, 7, 256]   -> [B, 3, 3, 256]
        max pool 3x3 -> linear num_classes, without bias -> times 1/256

    Each convolution is 3x3, padded, without bias, and batch norm comes before its GELU. The norm has a
    trained bias but no scale, and its statistics follow the batches quickly. The last pooling is over
    whatever is left of the image, so that other sizes of at least 9x9 go through as well.

    The whitening's kernel is a statistic of the data, see `statistics`: it lies among the batch
    statistics, is not trained, and its 288 numbers are not counted.
    """

    num_classes: int = 10
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool = False):
        layer = partial(
            Conv, kernel_size=3, padding=1, use_bias=False, dtype=self.dtype, kernel_init=identity
        )
        # PyTorch's epsilon is 1e-5 and its momentum 0.1.
        norm = partial(BatchNorm, use_scale=False, momentum=0.4, epsilon=1e-12, dtype=self.dtype)
        x = gelu(Whitening(dtype=self.dtype, name="whiten")(images), "whiten_gelu")
        for group, features in enumerate(GROUPS, start=1):
            x = max_pool(layer(features, name=f"group{group}_conv1")(x))
            x = gelu(norm(name=f"group{group}_bn1")(x, train), f"group{group}_gelu1")
            x = layer(features, name=f"group{group}_conv2")(x)
            x = gelu(norm(name=f"group{group}_bn2")(x, train), f"group{group}_gelu2")
        x = pool_pixels(jnp.max, x)
        head = {"use_bias": False, "kernel_init": unit_deviation}
        return classify(x, self.num_classes, dtype=self.dtype, **head) / x.shape[-1]


def gelu(x, name):
    """Multiply x by the chance that a normal variable is below x, as a layer of that name.

    By the error function itself, PyTorch's default.
    """
    return Named(partial(jax.nn.gelu, approximate=False), name=name)(x)


class Whitening(nn.Module):
    """2x2 convolution without padding by a kernel of the data, [B, H, W, C] -> [B, H - 1, W - 1, 8 C].

    Parameters: `bias` [8 C]. Collection `batch_stats`: `kernel` [2, 2, C, 8 C], that of
    `whitening_kernel`; until it is put there, one drawn as PyTorch draws it.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        channels, dtype = x.shape[-1], storage_dtype(self.dtype)
        fan_in = PATCH * PATCH * channels
        shape, draw = (PATCH, PATCH, channels, 2 * fan_in), uniform_fan_in(fan_in)
        kernel = self.variable(
            "batch_stats", "kernel", lambda: draw(self.make_rng("params"), shape, dtype)
        )
        bias = self.param("bias", draw, shape[-1:], dtype)
        y = choice.conv(x.astype(self.dtype), kernel.value.astype(self.dtype))
        return y + bias.astype(self.dtype)


def identity(key, shape, dtype=jnp.float32):
    """Draw a kernel whose first outputs are the inputs (Dirac); further outputs have PyTorch's default."""
    size, _, depth, features = shape
    drawn = uniform_fan_in(size * size * depth)(key, shape, dtype)
    same = jnp.eye(depth, features, dtype=dtype)
    centred = jnp.zeros(shape, dtype).at[size // 2, size // 2].set(same)
    return jnp.where(jnp.arange(features) < depth, centred, drawn)


def unit_deviation(key, shape, dtype=jnp.float32):
    """Draw PyTorch's default, and divide by the deviation of the numbers drawn."""
    drawn = uniform_fan_in(shape[0])(key, shape, dtype)
    return drawn / jnp.std(drawn, ddof=1)


def whitening_kernel(images):
    """Compute the kernel whose outputs have covariance 1 on these images, in every direction and its opposite.

    Its filters are the eigenvectors of the patches' second moments, divided by the root of their
    eigenvalue, from the least on, and then their negatives. A mean colour is not taken off: the images
    have none.

    Args:
      images: normalised, float [N, H, W, C].
    Returns:
      float32 [2, 2, C, 8 C].

    Page 2019, https://myrtle.ai/learn/how-to-train-your-resnet-8-bag-of-tricks; Jordan 2024, section 3.2.
    """
    images = images.astype(jnp.float32)
    count, height, width, channels = images.shape
    rows, columns = height - PATCH + 1, width - PATCH + 1
    shifted = [images[:, i : i + rows, j : j + columns] for i in range(PATCH) for j in range(PATCH)]
    patches = jnp.concatenate(shifted, axis=-1).reshape(count, rows * columns, -1)
    # Image by image, then their mean: one sum over millions of patches would round more. An
    # accelerator's quick products of float32 numbers would too.
    moments = jnp.einsum("npi,npj->nij", patches, patches, precision="highest") / (rows * columns)
    eigenvalues, vectors = jnp.linalg.eigh(jnp.mean(moments, axis=0))
    # The sign of an eigenvector is the library's whim.
    largest = jnp.take_along_axis(vectors, jnp.argmax(jnp.abs(vectors), axis=0)[None], axis=0)
    filters = vectors * jnp.sign(largest) / jnp.sqrt(eigenvalues + EPSILON)
    return jnp.concatenate([filters, -filters], axis=1).reshape(PATCH, PATCH, channels, -1)


def statistics(images):
    """Compute what the model takes from the data, for `registry.Entry.from_data`."""
    return {"whiten": {"kernel": whitening_kernel(images)}}
