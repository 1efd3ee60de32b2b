"""Augmentation on the device: pure functions of whole batches, uint8 in, uint8 out.

Every function is jit-, vmap- and scan-safe. The random draws are in `draw` and
`alternating_mask` alone; the others are told what to do, so a NumPy loop can check them.
"""

import dataclasses

import jax
import jax.numpy as jnp

from cifar_jax import plugins
from cifar_jax.train import erasing
from cifar_jax.train.image_operations import take_pixels
from cifar_jax.train.policies import BINS, POLICIES, register

__all__ = ["Augmentation", "alternating_mask", "apply_augmentation", "augment", "draw", "register"]

CROP_MODES = {"zero": "constant", "reflect": "reflect"}
FLIP_MODES = ("random", "alternating")


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """The parts of `augment` that are on. The default does nothing.

    crop_padding: pixels added on every side before a random crop to the old size; 0 for no crop.
    crop_mode: what is added: "zero" (black) or "reflect" (mirrored without repeating the edge).
    flip: mirror images left to right.
    flip_mode: which: "random", each with probability 1/2, or "alternating", those of `alternating_mask`.
    policy: of POLICIES, which operations each image gets by chance: "none", "randaugment" or "trivialaugment".
    operations, magnitude: of randaugment, how many, one after the other, and how strong, 0..30.
    rotation: greatest angle, in degrees, of a rotation drawn for each image, either way; 0 for none.
    cutout: side of the square that is cut out of each image; 0 for none.
    erasing: the probability that a box of an image is erased, of `erasing.draw_boxes`; 0 for none.
    cutout_fill: the pixel that fills both, one value a channel or one for all; see `cutout`.
    """

    crop_padding: int = 0
    crop_mode: str = "zero"
    flip: bool = False
    flip_mode: str = "random"
    policy: str = "none"
    operations: int = 2
    magnitude: int = 9
    rotation: float = 0.0
    cutout: int = 0
    erasing: float = 0.0
    cutout_fill: tuple[int, ...] = (125, 123, 114)

    def __post_init__(self):
        if self.crop_mode not in CROP_MODES:
            raise ValueError(f"crop_mode is '{self.crop_mode}', not {' or '.join(CROP_MODES)}")
        if self.flip_mode not in FLIP_MODES:
            raise ValueError(f"flip_mode is '{self.flip_mode}', not {' or '.join(FLIP_MODES)}")
        if min(self.crop_padding, self.rotation, self.cutout) < 0:
            raise ValueError("crop_padding, rotation and cutout must not be negative")
        if self.policy != "none" and not plugins.find("augmentation", POLICIES, self.policy):
            raise ValueError(f"policy is '{self.policy}', not {' or '.join(POLICIES)}")
        if self.operations < 1 or not 0 <= self.magnitude < BINS:
            raise ValueError(f"operations must be 1 or more, and magnitude 0 to {BINS - 1}")
        if not 0 <= self.erasing <= 1:
            raise ValueError("erasing must be a probability")

    @property
    def alternates(self):
        """True where `apply_augmentation` is to be told which images to mirror."""
        return self.flip and self.flip_mode == "alternating"


def crop(images, offsets, padding, mode="zero"):
    """Pad every side and cut the old size out again, at an offset of its own for each image.

    One dynamic slice an image, vmapped, which XLA turns into a gather of whole blocks: 0.09 ms for
    128 CIFAR images on two CPU cores, against 0.16 ms for index arrays, 0.8 ms for one-hot products
    and 3 ms for selecting among the shifts.

    Args:
      images: uint8 [B, H, W, C].
      offsets: integers [B, 2], row and column in 0..2 * padding; `padding` leaves an image as is.
      padding: int.
      mode: "zero" or "reflect".
    Returns:
      uint8 [B, H, W, C].
    """
    border = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    padded = jnp.pad(images, border, mode=CROP_MODES[mode])

    def cut(image, offset):
        return jax.lax.dynamic_slice(image, (offset[0], offset[1], 0), images.shape[1:])

    return jax.vmap(cut)(padded, offsets)


def flip(images, mask):
    """Mirror left to right the images where the mask is true.

    Args:
      images: uint8 [B, H, W, C].
      mask: bool [B].
    Returns:
      uint8 [B, H, W, C].
    """
    return jnp.where(mask[:, None, None, None], images[:, :, ::-1], images)


def alternating_mask(key, indices, epoch):
    """Draw which images an epoch mirrors: by chance in the first, and from then on each in every second.

    So two epochs in turn show both sides of every image, where chance shows some twice. A pure
    function of its arguments: a resumed run goes on as the uninterrupted one.

    Args:
      key: a PRNG key, the same in all epochs of a run.
      indices: integers [B], the images' numbers in the training set.
      epoch: int [], from 0.
    Returns:
      bool [B].

    Jordan, 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, 2024, section 3.6,
    https://arxiv.org/abs/2404.00498
    """
    # Drawn image by image: those of the batch, not of the whole set, are all that a step draws.
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, indices)
    return jax.vmap(jax.random.bernoulli)(keys) ^ (epoch % 2 == 1)


def rotate(images, angles):
    """Rotate each image about its centre; black comes in where the rotated image does not reach.

    Each pixel is the nearest one of the image before, as torchvision's RandomRotation takes it by default.

    Args:
      images: uint8 [B, H, W, C].
      angles: float32 [B], degrees; counter-clockwise where positive.
    Returns:
      uint8 [B, H, W, C].
    """
    height, width = images.shape[1:3]
    row, column = jnp.arange(height)[:, None], jnp.arange(width)[None]
    y, x = row - (height - 1) / 2, column - (width - 1) / 2
    angles = jnp.deg2rad(angles)[:, None, None]
    # Where the pixel was before: turned back by the angle. Rows count downwards.
    before_x = x * jnp.cos(angles) - y * jnp.sin(angles) + (width - 1) / 2
    before_y = x * jnp.sin(angles) + y * jnp.cos(angles) + (height - 1) / 2
    return take_pixels(
        images, *(jnp.round(each).astype(jnp.int32) for each in (before_y, before_x))
    )


def cutout(images, centres, size, fill=(125, 123, 114)):
    """Fill a square of each image, clipped where it leaves the image.

    The square covers rows centre - size // 2 up to centre - size // 2 + size - 1, and columns
    alike. The paper fills with zeros after normalisation, that is with the mean colour. Here pixels
    are not yet normalised, so the fill is the mean itself, by default CIFAR-10's in whole pixel
    values (which `normalize` brings within 0.01 of zero).

    Args:
      images: uint8 [B, H, W, C].
      centres: integers [B, 2], row and column in 0..H-1 and 0..W-1.
      size: int, side of the square.
      fill: one value a channel, or one for all, 0..255.
    Returns:
      uint8 [B, H, W, C].

    DeVries and Taylor, Improved Regularization of Convolutional Neural Networks with Cutout, 2017,
    https://arxiv.org/abs/1708.04552
    """
    return erasing.fill_boxes(images, centres - size // 2, jnp.full_like(centres, size), fill)


def draw(key, batch, image_shape, augmentation):
    """Draw what a batch needs: a dict of arrays [B, ...], for `apply_augmentation`.

    Each part has a key of its own whatever is on, so switching one off leaves the others' draws: of crop, flip and
    cutout those of `split`, of rotation, the policy and erasing `fold_in` of 3, 4 and 5.

    Args:
      key: a typed PRNG key, or a raw uint32 [2] one.
      batch: int, B.
      image_shape: (H, W, C).
      augmentation: an `Augmentation`.
    """
    drawn, (height, width) = {}, image_shape[:2]
    crop_key, flip_key, cutout_key = jax.random.split(key, 3)
    if augmentation.crop_padding:
        high = 2 * augmentation.crop_padding + 1
        drawn["offsets"] = jax.random.randint(crop_key, (batch, 2), 0, high)
    if augmentation.flip and not augmentation.alternates:
        drawn["mirrored"] = jax.random.bernoulli(flip_key, 0.5, (batch,))
    if limit := augmentation.rotation:
        rotation_key = jax.random.fold_in(key, 3)
        drawn["angles"] = jax.random.uniform(rotation_key, (batch,), minval=-limit, maxval=limit)
    if augmentation.cutout:
        high = jnp.array([height, width])
        drawn["centres"] = jax.random.randint(cutout_key, (batch, 2), 0, high)
    if policy := POLICIES[augmentation.policy]:
        policy_key = jax.random.fold_in(key, 4)
        drawn["policy"] = policy.draw(policy_key, batch, image_shape, augmentation)
    if probability := augmentation.erasing:
        erasing_key = jax.random.fold_in(key, 5)
        drawn["boxes"] = erasing.draw_boxes(erasing_key, batch, image_shape, probability)
    return drawn


def apply_augmentation(images, drawn, augmentation):
    """Crop, then flip, the policy, rotation, cutout and erasing, as drawn.

    The policy sees what torchvision's training recipes show it: what is cropped and flipped, and not yet filled with
    anything, which would take part in its histograms. Erasing is the last of theirs, too.

    For 128 images of 32x32 pixels crop and flip take 0.24 ms, randaugment 5.6 ms an operation, trivialaugment 5.8,
    erasing 0.26: the least of n = 300 calls that were taken in turn, compiled, on a machine that others used too (the
    medians are 0.7, 13, 15 and 0.5; AMD EPYC, 2 cores, jax 0.10.2). Most of it is the histogram and its tables.

    Args:
      images: uint8 [B, H, W, C].
      drawn: of `draw`, with `mirrored`, bool [B], of `alternating_mask` where `augmentation.alternates`.
      augmentation: an `Augmentation`; what is off costs nothing.
    Returns:
      uint8 [B, H, W, C].
    """
    if augmentation.crop_padding:
        images = crop(images, drawn["offsets"], augmentation.crop_padding, augmentation.crop_mode)
    if augmentation.flip:
        images = flip(images, drawn["mirrored"])
    if policy := POLICIES[augmentation.policy]:
        images = policy.apply(images, drawn["policy"], augmentation)
    if augmentation.rotation:
        images = rotate(images, drawn["angles"])
    if augmentation.cutout:
        images = cutout(images, drawn["centres"], augmentation.cutout, augmentation.cutout_fill)
    if augmentation.erasing:
        corners, sizes = drawn["boxes"][:, :2], drawn["boxes"][:, 2:]
        images = erasing.fill_boxes(images, corners, sizes, augmentation.cutout_fill)
    return images


def augment(key, images, augmentation, mirrored=None):
    """Draw and apply what `augmentation` asks for.

    Args:
      key: of `draw`.
      images: uint8 [B, H, W, C].
      augmentation: an `Augmentation`.
      mirrored: bool [B], of `alternating_mask`, where `augmentation.alternates`; else None.
    Returns:
      uint8 [B, H, W, C].
    Raises:
      ValueError: `mirrored` is missing, or given where each image's flip is drawn here.
    """
    if augmentation.alternates != (mirrored is not None):
        raise ValueError("mirrored goes with a flip whose flip_mode is 'alternating'")
    drawn = draw(key, images.shape[0], images.shape[1:], augmentation)
    if mirrored is not None:
        drawn["mirrored"] = mirrored
    return apply_augmentation(images, drawn, augmentation)
