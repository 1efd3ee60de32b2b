"""Images as people hand them over in Python: arrays of several kinds, files, and lists of these.

What can be meant in one way only is taken; anything else is refused, with the shape that is wanted.
"""

import os
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from cifar_jax.data import image_files, images
from cifar_jax.errors import UserError

OneImage: TypeAlias = str | os.PathLike[str] | Image.Image | npt.ArrayLike
Images: TypeAlias = OneImage | Sequence[OneImage]
WANTED = (
    "give uint8 [B, H, W, 3] or [H, W, 3] of 0 to 255, floating point of 0 to 1, or paths of files"
)


def as_images(given: Images, size: int) -> tuple[np.ndarray, bool]:
    """Bring what is given to a model's images.

    Args:
        given: a path; an array [H, W, 3], [3, H, W], [B, H, W, 3] or [B, 3, H, W], of integers 0 to 255 or floating
            point 0 to 1; an array [H, W] of such grey pixels; a PIL image; or a list of these, of one image each.
        size: S, pixels; images of other sizes are resized as `image_files.read` does.
    Returns:
        (uint8 [B, S, S, 3], whether one image was given, not several).
    Raises:
        UserError: no file that can be read, or an array that could mean several things.
    """
    if isinstance(given, (list, tuple)):
        if not given:
            raise UserError(f"the list holds no image; {WANTED}")
        each = [as_images(one, size) for one in given]
        if not all(single for _, single in each):
            raise UserError(f"an element of the list holds several images; {WANTED}")
        return np.concatenate([images for images, _ in each]), False
    if isinstance(given, (str, os.PathLike)):
        return image_files.read(given, size)[None], True
    if isinstance(given, Image.Image):
        if given.mode.startswith(
            ("I", "F")
        ):  # whose range nothing tells, and which Pillow would cut off at 255
            raise UserError(
                f"a picture of Pillow's mode {given.mode} has no 8 bits a channel; {WANTED}"
            )
        return images.fit(image_files.upright(given), size)[None], True
    array = _channels_last(np.asarray(given))
    single = array.ndim == 3
    pixels = _pixels(array[None] if single else array)
    return images.fit_all(pixels, size), single


def _channels_last(array):
    """Return [H, W, 3] or [B, H, W, 3] of an array whose axes have one meaning."""
    if array.ndim == 2 and min(array.shape) > 3:
        return np.repeat(array[..., None], 3, axis=-1)
    if array.ndim in (3, 4) and 0 not in array.shape:
        first, last = array.shape[-3] == 3, array.shape[-1] == 3
        if last and not first:
            return array
        if first and not last:
            return np.moveaxis(array, -3, -1)
    shape = " x ".join(map(str, array.shape)) or "no axis"
    raise UserError(f"an array of {shape} is no image whose channels are known; {WANTED}")


def _pixels(array):
    """Return uint8 of integers 0 to 255, or of floating point 0 to 1."""
    if array.dtype.kind in "iu":
        if array.min() < 0 or array.max() > 255:
            raise UserError(
                f"the pixels are integers of {array.min()} to {array.max()}, not of 0 to 255; {WANTED}"
            )
        return array.astype(np.uint8)
    if array.dtype.kind == "f":
        low, high = float(array.min()), float(array.max())
        if not (low >= 0 and high <= 1):
            raise UserError(
                f"the pixels are floating point of {low:.4g} to {high:.4g}, not of 0 to 1: normalised "
                f"images look alike, whatever was done to them; {WANTED}"
            )
        return np.rint(array * 255).astype(np.uint8)
    raise UserError(f"the pixels are of type {array.dtype}; {WANTED}")
