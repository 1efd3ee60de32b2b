"""Pictures of the user's own: a file of any size and kind becomes what every model here takes."""

from __future__ import annotations

import os
import pathlib
import stat
import warnings

import numpy as np

from cifar_jax.data import images
from cifar_jax.errors import UserError

# Of Pillow's readers those of plain pictures: others run programs, or make a picture of any size from a line.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".dib"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
)
MAX_PIXELS = 50_000_000
MAX_BYTES = 200_000_000
LIMIT = f"{MAX_PIXELS // 10**6} million"


class Unreadable(UserError):
    """A file that is no picture, or none that can be had. `why` says it without the file's name."""

    def __init__(self, path, why):
        super().__init__(f"{str(path)[:200]}: {why}")
        self.path, self.why = str(path), why


def find(path) -> tuple[list[str], list[Unreadable]]:
    """The pictures' files that a name stands for: itself, or all in a folder and the folders in it.

    Of a folder, names with one of SUFFIXES, in any case, are taken, in the order of their paths. Names that
    begin with a dot are passed over, and links to folders are not followed.

    Args:
      path: of a folder, or of anything else, which is then taken as it is.

    Returns:
      (the files, each with `path` in front; what to say of folders that can't be read or have no picture).
    """
    path = os.path.expanduser(os.fspath(path))
    if not os.path.isdir(path):
        return [path], []
    found, refused = [], []

    def refuse(error):
        refused.append(Unreadable(error.filename, f"can't be read ({error.strerror})"))

    for folder, folders, names in os.walk(path, onerror=refuse):
        folders[:] = [each for each in folders if not each.startswith(".")]
        found += [
            os.path.join(folder, each)
            for each in names
            if each.lower().endswith(SUFFIXES) and not each.startswith(".")
        ]
    if not (found or refused):
        refused = [Unreadable(path, f"a folder without pictures ({', '.join(SUFFIXES)})")]
    return sorted(found), refused


def read(path) -> np.ndarray:
    """The picture of a file as a camera or a painter meant it, brought to the models' shape by `images.fit`.

    It is turned as its EXIF says, and of several frames the first is taken. What is transparent becomes
    white. Grey, black and white, palettes and CMYK become RGB, of 16 bits the upper 8 are taken. Its
    sides are not kept in proportion.

    Args:
      path: a file of one of FORMATS.

    Returns:
      uint8 [32, 32, 3].

    Raises:
      Unreadable: no such file, no regular one, one that is too large, or none that can be read as a picture.
    """
    path = pathlib.Path(os.path.expanduser(path))
    _check_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of damage and size: both are seen to here.
            return images.fit(_decode(path))
    except UserError:
        raise
    except Exception as error:  # Damaged files make Pillow raise almost anything.
        if type(error).__name__ == "DecompressionBombError":
            raise Unreadable(
                path, f"has far more than {LIMIT} pixels; make it smaller first"
            ) from error
        is_systems = isinstance(error, OSError) and error.strerror
        reason = error.strerror if is_systems else "damaged, or no picture"
        kinds = ", ".join(FORMATS)
        raise Unreadable(
            path, f"can't be read as a picture ({reason}); the kinds known are {kinds}"
        ) from error


def _check_file(path):
    """Refuses what is no file of a bearable size: to open a pipe or a device may wait forever."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        why = "a link to nothing" if path.is_symlink() else "there is no such file"
        raise Unreadable(path, why) from error
    except (OSError, ValueError) as error:  # such as a name that is too long
        raise Unreadable(path, f"can't be read ({getattr(error, 'strerror', error)})") from error
    if stat.S_ISDIR(status.st_mode):
        raise Unreadable(path, "a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable(path, "a device or a pipe, not a file")
    if status.st_size > MAX_BYTES:
        raise Unreadable(path, f"over {MAX_BYTES // 10**6} MB; make it smaller first")


def _decode(path):
    """A `PIL.Image.Image` of mode RGB."""
    from PIL import Image, ImageOps

    with Image.open(path, formats=FORMATS) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            size = f"{width} x {height} pixels"
            raise Unreadable(path, f"has {size}, more than {LIMIT}; make it smaller first")
        if image.mode == "F":
            raise Unreadable(path, "has pixels of floating point, whose range nothing tells")
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255.
            deep = np.asarray(image).astype(np.int64)
            return Image.fromarray(np.clip(deep >> 8, 0, 255).astype(np.uint8)).convert("RGB")
        if image.has_transparency_data:
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, "white")
            return Image.alpha_composite(white, image).convert("RGB")
        return image.convert("RGB")
