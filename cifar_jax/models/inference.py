"""All that a finished model needs to judge images: normalisation, and the views of an image."""

import dataclasses
from typing import Any

import flax.linen
import jax
import jax.numpy as jnp

from cifar_jax.models import registry


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inference:
    """A model with its normalisation and its test-time augmentation; constant while a program is compiled."""

    model: flax.linen.Module
    mean: tuple[float, ...]  # of pixels of 0 to 1, one value a channel
    std: tuple[float, ...]
    dtype: Any  # of the computation
    num_classes: int
    flip: bool = False  # judge the mirror image too
    translate: int = 0  # judge the image moved by so many pixels too

    def normalize(self, images: jax.typing.ArrayLike) -> jax.Array:
        """Return images, uint8 [B, H, W, C], as the model takes them."""
        return normalize(images, self.mean, self.std, self.dtype)

    def logits(self, variables: Any, images: jax.Array) -> jax.Array:
        """Return the logits that an image is judged by: the model's, or a weighted mean over views of the image.

        With `flip` a view's logits are the mean of its own and its mirror image's. With `translate` the image has half
        the weight, and a quarter each the image moved by so many pixels down and to the right, and up and to the
        left, where reflected pixels come in.

        Args:
            variables: of the model.
            images: normalised, [B, H, W, C].
        Returns:
            float32 [B, num_classes].

        Jordan, 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, 2024, section 3.5,
        https://arxiv.org/abs/2404.00498
        """

        def of_view(images):
            logits = self.model.apply(variables, images, train=False)
            if self.flip:
                logits = (logits + self.model.apply(variables, images[:, :, ::-1], train=False)) / 2
            return logits

        if not self.translate:
            return of_view(images)
        by, (height, width) = self.translate, images.shape[1:3]
        padded = jnp.pad(images, ((0, 0), (by, by), (by, by), (0, 0)), mode="reflect")
        moved = of_view(padded[:, :height, :width]) + of_view(padded[:, 2 * by :, 2 * by :])
        return of_view(images) / 2 + moved / 4


def of_run(config, dataset):
    """Build the Inference of a run.

    Args:
        config: checked ConfigDict.
        dataset: data.Dataset; its arrays are not read.
    """
    mean, std = normalization(config, dataset)
    classes, dtype = len(dataset.class_names), jnp.dtype(config.dtype)
    model = registry.create(
        config.model.name,
        num_classes=classes,
        dtype=dtype,
        dropout=config.model.dropout,
        activation=config.model.activation,
    )
    return Inference(
        model=model,
        mean=mean,
        std=std,
        dtype=dtype,
        num_classes=classes,
        flip=config.evaluation.flip,
        translate=config.evaluation.translate,
    )


def normalization(config, dataset):
    """Return (mean, std) that images are normalised with: one value a channel, of pixels of 0 to 1."""
    if config.dataset.normalization == "half":
        return ((0.5,) * len(dataset.mean),) * 2
    if config.dataset.normalization == "zerocenter":
        return dataset.mean, (1 / 255,) * len(dataset.mean)
    return dataset.mean, tuple(each or 1.0 for each in dataset.std)


def normalize(images, mean, std, dtype=jnp.float32):
    """Return (pixel / 255 - mean) / std, computed in float32.

    Args:
        images: uint8 [..., C].
        mean, std: C floats, of pixel / 255.
        dtype: of the result.
    Returns:
        dtype [..., C].
    """
    mean, std = jnp.asarray(mean, jnp.float32), jnp.asarray(std, jnp.float32)
    return ((images.astype(jnp.float32) / 255 - mean) / std).astype(dtype)
