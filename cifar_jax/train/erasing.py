"""Random erasing: boxes of images that are filled, drawn as torchvision's RandomErasing draws them."""

import math

import jax
import jax.numpy as jnp

AREA = (0.02, 0.33)  # shares of the image
RATIO = (0.3, 3.3)  # of height to width
TRIES = 10


def fill_boxes(images, corners, sizes, fill):
    """Fill a box of each image, clipped where it leaves the image.

    Args:
      images: uint8 [B, H, W, C].
      corners: int [B, 2], the first row and column.
      sizes: int [B, 2], rows and columns; 0 for no box.
      fill: one value a channel, or one for all, 0..255.
    Returns:
      uint8 [B, H, W, C].
    """

    def inside(axis):
        distance = jnp.arange(images.shape[1 + axis]) - corners[:, axis, None]
        return (distance >= 0) & (distance < sizes[:, axis, None])

    box = inside(0)[:, :, None] & inside(1)[:, None, :]
    return jnp.where(box[..., None], jnp.asarray(fill, images.dtype), images)


def draw_boxes(key, batch, image_shape, probability):
    """Draw a box for each image with some probability: corners and sizes of `fill_boxes`, int32 [B, 4].

    A share of the image's area is drawn uniformly, the logarithm of the ratio as well, and the corner among those with
    which the box lies inside. Of ten such sizes the first that is smaller than the image either way counts; where none
    is, nothing is erased.

    Zhong et al., Random Erasing Data Augmentation, 2017, https://arxiv.org/abs/1708.04896
    """
    asked_key, area_key, ratio_key, corner_key = jax.random.split(key, 4)
    image = jnp.array(image_shape[:2])
    tries = (batch, TRIES)
    area = jax.random.uniform(area_key, tries, minval=AREA[0], maxval=AREA[1]) * math.prod(
        image_shape[:2]
    )
    low, high = map(math.log, RATIO)
    ratio = jnp.exp(jax.random.uniform(ratio_key, tries, minval=low, maxval=high))
    sides = jnp.stack([jnp.sqrt(area * ratio), jnp.sqrt(area / ratio)], axis=-1)
    sides = jnp.round(sides).astype(jnp.int32)  # [B, 10, 2]
    fits = jnp.all(sides < image, axis=-1)
    first = jnp.argmax(fits, axis=1)[:, None, None]
    asked = jax.random.bernoulli(asked_key, probability, (batch,)) & jnp.any(fits, axis=1)
    sides = jnp.where(asked[:, None], jnp.take_along_axis(sides, first, axis=1)[:, 0], 0)
    corners = jax.random.randint(corner_key, (batch, 2), 0, image - sides + 1)
    return jnp.concatenate([corners, sides], axis=1)
