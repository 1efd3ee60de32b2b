"""Pictures of the user's own: a file of any size and kind becomes what every model here takes."""

from __future__ import annotations

import pathlib
import warnings

import numpy as np

from cifar_jax.data import images
from cifar_jax.errors import UserError

# Of Pillow's readers those of plain pictures: others run programs, or make a picture of any size from a line.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
MAX_PIXELS = 50_000_000
MAX_BYTES = 200_000_000


def read(path) -> np.ndarray:
    """The picture of a file as a camera or a painter meant it, brought to the models' shape by `images.fit`.

    It is turned as its EXIF says, what is transparent becomes white, 16 bits become 8, and of several
    frames the first is taken. Its sides are not kept in proportion.

    Args:
      path: a file of one of FORMATS.

    Returns:
      uint8 [32, 32, 3].

    Raises:
      UserError: no such file, one that is too large, or one that can't be read as a picture.
    """
    path = pathlib.Path(path).expanduser()
    try:
        if not path.is_file():
            raise UserError(f"there is no file {path}")
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path} is over {MAX_BYTES // 10**6} MB; make it smaller first")
    except (OSError, ValueError) as error:  # such as a name that is too long
        reason = getattr(error, "strerror", error)
        raise UserError(f"can't read {str(path)[:200]} ({reason})") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of damage and size: both are seen to here.
            return images.fit(_decode(path))
    except UserError:
        raise
    except Exception as error:  # Damaged files make Pillow raise almost anything.
        reason = (
            str(error)
            if isinstance(error, OSError) and error.strerror
            else "damaged, or no picture"
        )
        raise UserError(
            f"{path} can't be read as a picture ({reason}); the kinds known are {', '.join(FORMATS)}"
        ) from error


def _decode(path):
    """A `PIL.Image.Image` of mode RGB."""
    from PIL import Image, ImageOps

    with Image.open(path, formats=FORMATS) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise UserError(
                f"{path} has {width} x {height} pixels, more than {MAX_PIXELS // 10**6} million; "
                "make it smaller first"
            )
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255.
            deep = np.asarray(image).astype(np.int64)
            return Image.fromarray(np.clip(deep >> 8, 0, 255).astype(np.uint8)).convert("RGB")
        if image.has_transparency_data:
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, "white")
            return Image.alpha_composite(white, image).convert("RGB")
        return image.convert("RGB")
