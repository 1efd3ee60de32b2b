"""The operations of RandAugment as Pillow does them, on the device, for whole batches: uint8 [B, H, W, 3] in and out.

A setting is an operation's name and its magnitude, such as ("rotate", -9.0). Settings are constants of a program; what
is drawn is which of them each image gets. So all that Pillow computes of a setting in float64 stands in tables that
NumPy makes, the device takes an image's rows of them, and the pixels are Pillow's on every platform, compiled or not.

An operation either moves pixels, or looks their values up, or blends the image with a degenerate form of it. Each of
the three is done to the whole batch, and an image whose setting is of another kind comes out as it was: no branch for
an image, of which `vmap` would run every one.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from cifar_jax.models.ops.materialize import materialize

VALUES = np.arange(256)
BITS = 16  # behind the point of Pillow's fixed-point numbers


def take_pixels(images, rows, columns):
    """Take each pixel from another place of its image; black where that lies outside.

    Args:
      images: uint8 [B, H, W, C].
      rows, columns: int32 [B, H, W].
    Returns:
      uint8 [B, H, W, C].
    """
    batch, height, width, channels = images.shape
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    places = jnp.where(inside, rows * width + columns, 0).reshape(batch, -1, 1)
    taken = jnp.take_along_axis(images.reshape(batch, -1, channels), places, axis=1)
    return jnp.where(inside[..., None], taken.reshape(images.shape), jnp.uint8(0))


def _rotation(degrees, height, width):
    """As Image.rotate, which rounds so; counter-clockwise about the centre where positive."""
    angle = -math.radians(degrees % 360.0)
    cos, sin = round(math.cos(angle), 15), round(math.sin(angle), 15)
    x, y = width / 2, height / 2
    return cos, sin, -cos * x - sin * y + x, -sin, cos, sin * x - cos * y + y


# (magnitude, height, width) -> a, b, c, d, e, f: the pixel at x, y comes from a x + b y + c, d x + e y + f.
MOVES = {
    "shear_x": lambda slope, height, width: (1, slope, 0, 0, 1, 0),
    "shear_y": lambda slope, height, width: (1, 0, 0, slope, 1, 0),
    "translate_x": lambda pixels, height, width: (1, 0, -int(pixels), 0, 1, 0),
    "translate_y": lambda pixels, height, width: (1, 0, 0, 0, 1, -int(pixels)),
    "rotate": _rotation,
}
STAY = (1, 0, 0, 0, 1, 0)


def fixed_point(matrix):
    """Return such a, b, c, d, e, f for pixels' numbers in place of their centres, times 2^BITS: list of int."""
    a, b, c, d, e, f = matrix
    centred = a, b, c + a / 2 + b / 2, d, e, f + d / 2 + e / 2
    return [math.floor(each * 2**BITS + 0.5) for each in centred]


def move(images, numbers, settings):
    """Move pixels as the settings among MOVES: nearest neighbour, black from outside.

    Args:
      numbers: int32 [B]; all else as of `apply`.
    """
    height, width = images.shape[1:3]
    matrices = [
        fixed_point(MOVES[name](magnitude, height, width) if name in MOVES else STAY)
        for name, magnitude in settings
    ]
    chosen = jnp.asarray(matrices, jnp.int32)[numbers]
    a, b, c, d, e, f = (chosen[:, i, None, None] for i in range(6))
    y, x = jnp.arange(height)[:, None], jnp.arange(width)
    return take_pixels(images, (d * x + e * y + f) >> BITS, (a * x + b * y + c) >> BITS)


def histogram(images):
    """Count the values of each channel: int32 [B, 3, 256]."""
    batch, _, _, channels = images.shape
    places = images.reshape(batch, -1, channels).astype(jnp.int32) + 256 * jnp.arange(channels)
    count = jax.vmap(lambda each: jnp.zeros(256 * channels, jnp.int32).at[each.ravel()].add(1))
    return count(places).reshape(batch, channels, 256)


def _highest(counts):
    """Return the greatest value that is there: int32 [B, 3, 1]."""
    return 255 - jnp.argmax(counts[..., ::-1] > 0, axis=-1, keepdims=True)


def auto_contrast(counts):
    """Return tables that bring each channel's least value to 0 and its greatest to 255: int32 [B, 3, 256].

    The quotients are exact. Pillow's are of float64, in which 4 of 1000, all of them whole numbers, come out one less.
    """
    low, high = jnp.argmax(counts > 0, axis=-1, keepdims=True), _highest(counts)
    stretched = jnp.clip(255 * (VALUES - low) // jnp.maximum(high - low, 1), 0, 255)
    return jnp.where(high > low, stretched, VALUES)


def equalize(counts):
    """Return tables that make each channel's histogram as even as can be: int32 [B, 3, 256]."""
    below = jnp.cumsum(counts, axis=-1) - counts
    step = jnp.take_along_axis(below, _highest(counts), axis=-1) // 255
    even = jnp.minimum((step // 2 + below) // jnp.maximum(step, 1), 255)
    return jnp.where(step > 0, even, VALUES)


# magnitude -> what stands for each value, [256].
TABLES = {
    "posterize": lambda bits: VALUES & (0xFF << (8 - int(bits))),
    "solarize": lambda threshold: np.where(threshold > VALUES, VALUES, 255 - VALUES),
}
# histogram -> the same for each image and channel.
TABLES_OF_HISTOGRAMS = {"auto_contrast": auto_contrast, "equalize": equalize}


def look_up(images, numbers, settings):
    """Put for each value another, as the settings among TABLES and TABLES_OF_HISTOGRAMS; arguments as of `move`."""
    fixed = [TABLES[name](size) if name in TABLES else VALUES for name, size in settings]
    tables = jnp.asarray(fixed, jnp.int32)[numbers][:, None]
    counts = histogram(images)  # which XLA leaves out where nothing reads it
    for name, tables_of in TABLES_OF_HISTOGRAMS.items():
        if (asked := _among(settings, [name])).any():
            chosen = jnp.asarray(asked)[numbers][:, None, None]
            tables = jnp.where(chosen, tables_of(counts), tables)
    batch, _, _, channels = images.shape
    tables = jnp.broadcast_to(tables, (batch, channels, 256)).astype(jnp.float32)
    # Or XLA's CPU compiler makes an image's tables anew for each of its pixels, in ten times the time.
    tables = materialize(tables.transpose(0, 2, 1))
    values = images.reshape(batch, -1, channels).astype(jnp.int32)
    return jnp.take_along_axis(tables, values, axis=1).reshape(images.shape).astype(jnp.uint8)


def gray(images):
    """Return ITU-R 601-2 luma as Pillow rounds it: int32 [B, H, W, 1]."""
    red, green, blue = (images[..., i, None].astype(jnp.int32) for i in range(3))
    return (19595 * red + 38470 * green + 7471 * blue + 2**15) >> 16


def mean_gray(images):
    """Return the mean of `gray`, rounded: int32 [B, 1, 1, 1]."""
    pixels = images.shape[1] * images.shape[2]
    summed = jnp.sum(gray(images), axis=(1, 2), keepdims=True)
    return (2 * summed + pixels) // (2 * pixels)


def smooth(images):
    """Return the image under Pillow's SMOOTH: int32 [B, H, W, 3].

    The kernel is 3x3 of ones about a five, over 13; the border stays.
    """
    height, width = images.shape[1:3]
    x = images.astype(jnp.int32)
    rows = x[:, :-2] + x[:, 1:-1] + x[:, 2:]
    inner = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] + 4 * x[:, 1:-1, 1:-1]
    # The nearest whole number of thirteenths, exact for sums of up to 6000.
    inner = ((inner + 6) * 5042) >> 16
    inner = jnp.pad(inner, ((0, 0), (1, 1), (1, 1), (0, 0)))
    y, column = jnp.arange(height)[:, None, None], jnp.arange(width)[:, None]
    border = (y == 0) | (y == height - 1) | (column == 0) | (column == width - 1)
    return jnp.where(border, x, inner)


# images -> what an image is blended with: at a magnitude of -1 nothing but that is left.
DEGENERATES = {
    "brightness": jnp.zeros_like,
    "color": gray,
    "contrast": mean_gray,
    "sharpness": smooth,
}


def enhance(images, numbers, settings):
    """Blend with a degenerate, as the settings among DEGENERATES; arguments as of `move`.

    Pillow multiplies the difference of two values by 1 + magnitude and adds the degenerate, each rounded to float32.
    The products stand in a table: a compiler may round a product and a sum at once where it sees both.
    """
    factors = [1 + magnitude if name in DEGENERATES else 1.0 for name, magnitude in settings]
    factors, row = np.unique(np.float32(factors), return_inverse=True)
    products = factors[:, None] * np.arange(-255, 256, dtype=np.float32)
    degenerate = jnp.zeros_like(images, jnp.int32)
    for name, degenerate_of in DEGENERATES.items():
        if (asked := _among(settings, [name])).any():
            chosen = jnp.asarray(asked)[numbers][:, None, None, None]
            degenerate = jnp.where(chosen, degenerate_of(images), degenerate)
    unchanged = jnp.asarray(511 * row + 255)[numbers][
        :, None, None, None
    ]  # the place of difference 0
    product = jnp.asarray(products.ravel())[unchanged + images.astype(jnp.int32) - degenerate]
    return jnp.clip(degenerate + product, 0, 255).astype(jnp.uint8)


def _among(settings, names):
    """Return which settings have an operation of these: bool [S]."""
    return np.array([name in names for name, _ in settings])


# What changes images, and the operations that it is for.
KINDS = ((move, MOVES), (look_up, TABLES | TABLES_OF_HISTOGRAMS), (enhance, DEGENERATES))
OPERATIONS = ("identity", *(name for _, names in KINDS for name in names))


def apply(images, numbers, settings):
    """Do to each image what its settings say, one after the other.

    The three kinds stand in branches of a loop, whose turn is the same for all images: of what stands behind one
    another XLA's CPU compiler makes one loop over the pixels, and computes again for each what that reads of the
    others, in five times the time.

    Args:
      images: uint8 [B, H, W, 3].
      numbers: int32 [B, N], which of the settings each image gets.
      settings: list of (name of OPERATIONS, magnitude); the magnitude in pixels of translations, degrees of rotations,
        bits of posterize, the threshold of solarize, and what is added to a factor of 1 of DEGENERATES.
    Returns:
      uint8 [B, H, W, 3].
    Raises:
      ValueError: a name that is no operation's.
    """
    if unknown := {name for name, _ in settings} - set(OPERATIONS):
        raise ValueError(f"no operation {min(unknown)!r}")
    changes = [change for change, names in KINDS if _among(settings, names).any()]
    if not changes:
        return images
    branches = [functools.partial(change, settings=settings) for change in changes]
    turns = np.tile(np.arange(len(changes)), numbers.shape[1])

    def change(images, turn):
        kind, numbers = turn
        return jax.lax.switch(kind, branches, images, numbers), None

    return jax.lax.scan(change, images, (turns, jnp.repeat(numbers.T, len(changes), axis=0)))[0]
