"""Bring any fixed-size image to the one shape every model here takes: uint8 [32, 32, 3]."""

import numpy as np

SIZE = 32
SHAPE = (SIZE, SIZE, 3)


def fit(image) -> np.ndarray:
    """Fit an image to SHAPE: grey becomes RGB, other sizes are resized bilinearly (antialiased when shrinking).

    Pillow resizes 8-bit images in fixed-point arithmetic, so the result is the same everywhere.

    Args:
      image: a `PIL.Image.Image` of 8 bits a channel.
    Returns:
      uint8 [32, 32, 3].
    """
    from PIL import Image

    if image.mode != "RGB":
        image = image.convert("RGB")
    if image.size != (SIZE, SIZE):
        image = image.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return np.asarray(image)
