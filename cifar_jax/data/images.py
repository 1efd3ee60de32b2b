"""Bring any image to the shape that the models of a run take: uint8 [S, S, 3]."""

import numpy as np

SIZE = 32
SHAPE = (SIZE, SIZE, 3)


def fit(image, size=SIZE) -> np.ndarray:
    """Fit an image to a square: grey becomes RGB, other sizes are resized bilinearly (antialiased when shrinking).

    Pillow resizes 8-bit images in fixed-point arithmetic, so the result is the same everywhere.

    Args:
      image: a `PIL.Image.Image` of 8 bits a channel.
      size: S, pixels.
    Returns:
      uint8 [S, S, 3].
    """
    from PIL import Image

    if image.mode != "RGB":
        image = image.convert("RGB")
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image)


def fit_all(pixels, size=SIZE) -> np.ndarray:
    """Return `fit` of arrays: uint8 [N, H, W, 3] or grey [N, H, W] -> [N, S, S, 3]."""
    from PIL import Image

    if pixels.shape[1:] == (size, size, 3):
        return pixels
    return np.stack([fit(Image.fromarray(each), size) for each in pixels])


def bounded(image, most) -> np.ndarray:
    """Return an image for display: made smaller where a side has more than `most` pixels, in proportion.

    Args:
      image: a `PIL.Image.Image` of mode RGB.
      most: pixels of the longer side.
    Returns:
      uint8 [H, W, 3].
    """
    image = image.copy()
    image.thumbnail((most, most))
    return np.asarray(image)
