"""Pictures of the user's own: a file of any size and kind becomes what every model here takes."""

import collections
import contextlib
import functools
import io
import os
import stat

import numpy as np
from PIL import Image, ImageOps, features

from cifar_jax.data import images, silence
from cifar_jax.errors import UserError

# Of Pillow's readers those of plain pictures: others run programs, or make a picture of any size from a line.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "HEIF")
SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".dib"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".heic", ".heif", ".hif"),
)
# What not every machine reads: brands of ISO base media files -> what they are, and what they need.
NEEDED = {
    (b"avif", b"avis"): ("AVIF", "Pillow 11.3 or newer, built with it (pip install -U pillow)"),
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"): (
        "HEIF",
        "the extra `heif` (pip install pillow-heif)",
    ),
}
# TIFF's tags, which are EXIF's, too, and values of theirs.
BITS_PER_SAMPLE, PHOTOMETRIC, ORIENTATION, SAMPLE_FORMAT = 258, 262, 274, 339
UPRIGHT = 1
WHITE_IS_ZERO, SIGNED = 0, 2
MAX_PIXELS = 50_000_000
MAX_BYTES = 200_000_000
LIMIT = f"{MAX_PIXELS // 10**6} million"


class Unreadable(UserError):
    """A file that is no picture, or none that can be had. `why` says it without the file's name."""

    def __init__(self, path, why):
        super().__init__(f"{str(path)[:200]}: {why}")
        self.path, self.why = str(path), why

    def __reduce__(self):
        return type(self), (self.path, self.why)


def find(path) -> tuple[list[str], list[Unreadable], collections.Counter]:
    """Find the pictures' files that a name stands for: itself, or all in a folder and the folders in it.

    Of a folder, names with one of SUFFIXES, in any case, are taken, in the order of their paths. Names that
    begin with a dot are passed over, and links to folders are not followed.

    Args:
      path: of a folder, or of anything else, which is then taken as it is.
    Returns:
      (the files, each with `path` in front; what to say of folders that can't be read or have no picture; how
      many of each kind were left out, as {".txt": 2, "hidden": 1}).
    """
    path = os.path.expanduser(os.fspath(path))
    if not os.path.isdir(path):
        return [path], [], collections.Counter()
    files, refused, left_out = [], [], collections.Counter()

    def refuse(error):
        refused.append(Unreadable(error.filename, f"can't be read ({error.strerror})"))

    for folder, folders, names in os.walk(path, onerror=refuse):
        for each in [*folders, *names]:
            if each.startswith("."):
                left_out["hidden"] += 1
            elif each in folders:
                left_out["links to folders"] += os.path.islink(os.path.join(folder, each))
            elif each.lower().endswith(SUFFIXES):
                files.append(os.path.join(folder, each))
            else:
                left_out[os.path.splitext(each)[1].lower() or "without a suffix"] += 1
        folders[:] = [each for each in folders if not each.startswith(".")]
    if not (files or refused):
        refused = [Unreadable(path, f"a folder without pictures ({', '.join(SUFFIXES)})")]
    return sorted(files), refused, +left_out


def find_all(paths, note) -> list:
    """Find the pictures' files that several names stand for, in their order, as `find` does for each.

    Args:
      paths: of files and folders.
      note: is told, in a line, what was left out of each folder.
    Returns:
      list of str, and an Unreadable in the place of each that can't be found.
    """
    every = []
    for path in paths:
        files, refused, left_out = find(path)
        every += [*refused, *files]
        if left_out:
            note(f"{str(path)[:200]}: {said_of(left_out)}")
    return every


def try_read(file, size):
    """Read as `read` does, but return the Unreadable, also one that stands in the place of a file."""
    try:
        return file if isinstance(file, Unreadable) else read(file, size)
    except Unreadable as error:
        return error


def said_of(left_out, most=4):
    """Return words such as "3 left out (2 .txt, 1 hidden)" of a Counter of kinds; the rarest are "other"."""
    kinds = sorted(left_out.items(), key=lambda item: (-item[1], item[0]))[:most]
    if rest := left_out.total() - sum(count for _, count in kinds):
        kinds.append(("other", rest))
    return f"{left_out.total():,} left out ({', '.join(f'{n:,} {kind[:20]}' for kind, n in kinds)})"


def read(path, size=images.SIZE) -> np.ndarray:
    """Read the picture of a file as `whole` does, brought to a square by `images.fit`.

    All of the picture is in the square: its sides are not kept in proportion.

    Args:
      path: a file of one of FORMATS.
      size: S, pixels.
    Returns:
      uint8 [S, S, 3].
    Raises:
      Unreadable: as of `whole`.
    """
    return images.fit(whole(path), size)


def whole(path) -> Image.Image:
    """Read the picture of a file as a camera or a painter meant it, all of its pixels.

    Args:
      path: a file of one of FORMATS.
    Returns:
      `PIL.Image.Image` of mode RGB.
    Raises:
      Unreadable: as of `content_of` and `decoded`.
    """
    path = os.path.expanduser(path)
    return decoded(path, content_of(path))


def content_of(path) -> bytes:
    """Read a file's bytes.

    Raises:
      Unreadable: no such file, no regular one, or one that is too large or can't be read.
    """
    _check_file(path)
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise _no_picture(path, error.strerror) from error


def decoded(path, content) -> Image.Image:
    """Decode a file's bytes.

    The picture is turned as its EXIF says, and of several frames the first is taken. What is transparent becomes
    white. Grey, black and white, palettes, CMYK, YCbCr and CIELAB become RGB, of 12 or 16 bits the upper 8
    are taken.

    Args:
      path: of the file, for what is said of it.
      content: its bytes.
    Returns:
      `PIL.Image.Image` of mode RGB.
    Raises:
      Unreadable: none that can be read as a picture, one of too many pixels, or of numbers whose range nothing
        tells: floating point, signed, or 32 bits.
    """
    try:
        with silence.no_warnings():  # Of damage and size: both are seen to here.
            return _decode(path, content)
    except UserError:
        raise
    except Exception as error:  # Damaged files make Pillow raise almost anything.
        if type(error).__name__ == "DecompressionBombError":
            raise Unreadable(
                path, f"has far more than {LIMIT} pixels; make it smaller first"
            ) from error
        if (needed := _needed(content)) is not None:
            raise Unreadable(path, needed) from error
        raise _no_picture(path, "damaged, or no picture") from error


def _no_picture(path, reason):
    kinds = ", ".join(FORMATS)
    return Unreadable(path, f"can't be read as a picture ({reason}); the kinds known are {kinds}")


def _check_file(path):
    """Refuse what is no file of a bearable size: to open a pipe or a device may wait forever."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        why = "a link to nothing" if os.path.islink(path) else "there is no such file"
        raise Unreadable(path, why) from error
    except (OSError, ValueError) as error:  # such as a name that is too long
        raise Unreadable(path, f"can't be read ({getattr(error, 'strerror', error)})") from error
    if stat.S_ISDIR(status.st_mode):
        raise Unreadable(path, "a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable(path, "a device or a pipe, not a file")
    if status.st_size > MAX_BYTES:
        raise Unreadable(path, f"over {MAX_BYTES // 10**6} MB; make it smaller first")


@functools.cache
def _known():
    """Return those of FORMATS that Pillow reads here."""
    Image.init()
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    return tuple(each for each in FORMATS if each in Image.OPEN)


def _needed(content):
    """Say what is missing here to read a file of a known kind; None of others."""
    can = {"AVIF": features.check("avif"), "HEIF": "HEIF" in _known()}
    for brands, (kind, what) in NEEDED.items():
        if content[4:8] == b"ftyp" and content[8:12] in brands and not can[kind]:
            return f"a picture of the kind {kind}, which needs {what}"
    return None


def upright(image):
    """Return a `PIL.Image.Image` as it is meant: turned as its EXIF says, on white, of mode RGB."""
    image.load()  # the EXIF data of some kinds come last
    if image.getexif().get(ORIENTATION, UPRIGHT) != UPRIGHT:  # else it would be copied
        image = ImageOps.exif_transpose(image)
    if image.mode == "La":  # which becomes nothing else
        image = image.convert("LA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _decode(path, content):
    """Decode a file's bytes into a `PIL.Image.Image` of mode RGB."""
    with Image.open(io.BytesIO(content), formats=_known()) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            size = f"{width} x {height} pixels"
            raise Unreadable(path, f"has {size}, more than {LIMIT}; make it smaller first")
        tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
        # Pillow has 32 bits as I; those of PPM it made of 16.
        unsure = image.mode == "I" and image.format != "PPM"
        if image.mode == "F" or unsure or SIGNED in tags.get(SAMPLE_FORMAT, ()):
            kind = "floating point" if image.mode == "F" else "signed or 32-bit integers"
            raise Unreadable(path, f"has pixels of {kind}, whose range nothing tells")
        if image.mode.startswith("I"):
            return _upper_bits(ImageOps.exif_transpose(image), tags)
        if image.format == "PNG":
            _scale_transparency(image)
        return upright(image)


def _upper_bits(image, tags):
    """Return the upper 8 bits of grey pixels of 12 or 16, as RGB; Pillow would cut them off at 255."""
    deep = np.asarray(image).astype(np.int64)
    bits = tags.get(BITS_PER_SAMPLE, (16,))[0]
    grey = np.clip(deep >> (bits - 8), 0, 255).astype(np.uint8)
    if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:  # which Pillow sees to for 8 bits only
        grey = 255 - grey
    grey[deep == image.info.get("transparency", -1)] = 255
    return Image.fromarray(grey).convert("RGB")


def _scale_transparency(image):
    """Bring the one colour that a PNG calls transparent to 8 bits, as Pillow does with the pixels only."""
    clear = image.info.get("transparency")
    raw = image.tile[0][3] if image.tile else image.mode
    if isinstance(clear, int) and raw in ("1", "L;2", "L;4"):
        image.info["transparency"] = clear * {"1": 255, "L;2": 85, "L;4": 17}[raw]
    if isinstance(clear, tuple) and raw == "RGB;16B":
        image.info["transparency"] = tuple(each >> 8 for each in clear)
