"""RandAugment's operations against loops over the pixels, as the paper and Pillow define them, and against Pillow."""

import fractions
import functools
import math

import jax
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from quick_jit import quick_jit

from cifar_jax.train import image_operations, policies
from cifar_jax.train.augment import Augmentation

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (12, 12, 3), dtype=np.uint8)
# Of few values in the middle of the range, another few in each channel, and a channel of one value.
DULL = (np.arange(144).reshape(12, 12, 1) % (40, 17, 1) + (90, 7, 33)).astype(np.uint8)
WIDE = RNG.integers(60, 200, (10, 13, 3), dtype=np.uint8)
SETTINGS = policies.trivialaugment_settings(None, 12, 12)
PICTURES = {"noise": NOISE, "dull": DULL, "wide": WIDE}


@functools.cache
def compiled(settings):
    return quick_jit(functools.partial(image_operations.apply, settings=settings))


def ours(image, settings):
    """The image after each of the settings: uint8 [S, H, W, 3]."""
    images = np.broadcast_to(image, (len(settings), *image.shape))
    return np.asarray(compiled(tuple(settings))(images, np.arange(len(settings))[:, None]))


def settings_of(*names):
    return [each for each in SETTINGS if each[0] in names]


def fraction(magnitude):
    """The magnitude as the number that is meant: a bin of TrivialAugment is a multiple of 0.99 / 30 or 135 / 30."""
    return fractions.Fraction(magnitude).limit_denominator(10_000)


def moved(image, name, magnitude):
    """Every pixel from where its centre was before; x to the right, y down, from the corner."""
    height, width, _ = image.shape
    result = np.zeros_like(image)
    for row in range(height):
        for column in range(width):
            x, y = column + 0.5, row + 0.5
            if name == "shear_x":
                x += magnitude * y
            elif name == "shear_y":
                y += magnitude * x
            elif name == "translate_x":
                x -= int(magnitude)
            elif name == "translate_y":
                y -= int(magnitude)
            else:
                angle = math.radians(magnitude)
                dx, dy = x - width / 2, y - height / 2
                x = width / 2 + dx * math.cos(angle) - dy * math.sin(angle)
                y = height / 2 + dx * math.sin(angle) + dy * math.cos(angle)
            if 0 <= x < width and 0 <= y < height:
                result[row, column] = image[int(y), int(x)]
    return result


@pytest.mark.parametrize("name", [*image_operations.MOVES])
@pytest.mark.parametrize("picture", ["noise", "wide"])
def test_moves(name, picture):
    """Where a place is no border between two pixels: there its 16 digits behind the point decide, as Pillow's do."""
    image = PICTURES[picture]
    # No multiple of 45 degrees, and no slope that leads from a centre to a border.
    size = {"shear_x": 0.237, "shear_y": 0.237, "rotate": 31.3}.get(name, 3.0)
    settings = [(name, sign * times * size) for times in (0, 1, 2.1) for sign in (1, -1)]
    for result, (_, magnitude) in zip(ours(image, settings), settings, strict=True):
        np.testing.assert_array_equal(result, moved(image, name, magnitude))


def pillow_moved(image, name, magnitude):
    """As torchvision calls Pillow."""
    if name == "rotate":
        return image.rotate(magnitude)
    matrix = {
        "shear_x": (1, magnitude, 0, 0, 1, 0),
        "shear_y": (1, 0, 0, magnitude, 1, 0),
        "translate_x": (1, 0, -int(magnitude), 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, -int(magnitude)),
    }[name]
    return image.transform(image.size, Image.Transform.AFFINE, matrix)


ENHANCERS = {
    "brightness": ImageEnhance.Brightness,
    "color": ImageEnhance.Color,
    "contrast": ImageEnhance.Contrast,
    "sharpness": ImageEnhance.Sharpness,
}


def pillow(image, name, magnitude):
    image = Image.fromarray(image)
    if name in image_operations.MOVES:
        image = pillow_moved(image, name, magnitude)
    elif name in ENHANCERS:
        image = ENHANCERS[name](image).enhance(1 + magnitude)
    elif name == "posterize":
        image = ImageOps.posterize(image, int(magnitude))
    elif name == "solarize":
        image = ImageOps.solarize(image, magnitude)
    elif name == "auto_contrast":
        image = ImageOps.autocontrast(image)
    elif name == "equalize":
        image = ImageOps.equalize(image)
    return np.asarray(image)


@pytest.mark.parametrize("picture", PICTURES)
def test_every_setting_of_trivialaugment_is_pillows_to_the_bit(picture):
    """But for one kind of pixel of auto_contrast, see the next."""
    image = PICTURES[picture]
    for result, setting in zip(ours(image, SETTINGS), SETTINGS, strict=True):
        if setting[0] != "auto_contrast":
            np.testing.assert_array_equal(result, pillow(image, *setting), err_msg=str(setting))


def stretched(image):
    """From each channel's range to 0..255, in whole numbers."""
    result = image.copy()
    for channel in range(3):
        values = image[..., channel].astype(int)
        low, high = values.min(), values.max()
        if high > low:
            result[..., channel] = 255 * (values - low) // (high - low)
    return result


@pytest.mark.parametrize("picture", PICTURES)
def test_auto_contrast(picture):
    image = PICTURES[picture]
    (result,) = ours(image, [("auto_contrast", 0.0)])
    np.testing.assert_array_equal(result, stretched(image))
    # Pillow divides in float64, which puts a whole number below itself at times.
    low, high = image.min(axis=(0, 1)).astype(int), image.max(axis=(0, 1)).astype(int)
    whole = 255 * (image - low) % np.maximum(high - low, 1) == 0
    off = result.astype(int) - pillow(image, "auto_contrast", 0.0)
    assert set(off[whole].tolist()) <= {0, 1} and not off[~whole].any()


def equalized(image):
    """Each value becomes the count of those below it, over a 255th of all but those of the highest value."""
    result = image.copy()
    for channel in range(3):
        counts = [int((image[..., channel] == value).sum()) for value in range(256)]
        highest = max(value for value in range(256) if counts[value])
        step = (sum(counts) - counts[highest]) // 255
        if not step:
            continue
        for place in np.ndindex(image.shape[:2]):
            below = sum(counts[: image[*place, channel]])
            result[*place, channel] = min((step // 2 + below) // step, 255)
    return result


@pytest.mark.parametrize("picture", ["dull", "noise", "large"])
def test_equalize(picture):
    """Of less than 256 pixels there is nothing to do; `large` has a step of more than one."""
    image = PICTURES.get(picture)
    if image is None:
        image = np.minimum(RNG.integers(0, 256, (24, 30, 3)), 180 + np.arange(3)).astype(np.uint8)
    (result,) = ours(image, [("equalize", 0.0)])
    np.testing.assert_array_equal(result, equalized(image))
    np.testing.assert_array_equal(result, pillow(image, "equalize", 0.0))
    assert np.any(result != image) == (picture == "large")


def grays(image):
    weights = np.array([19595, 38470, 7471])
    return (image.astype(int) @ weights + 32768) // 65536


def degenerate(image, name):
    """ImageEnhance's, pixel by pixel."""
    if name == "brightness":
        return np.zeros(image.shape, int)
    gray = grays(image)
    if name == "color":
        return np.broadcast_to(gray[..., None], image.shape)
    if name == "contrast":
        return np.full(image.shape, math.floor(gray.mean() + 0.5))
    result = image.astype(int)
    for row in range(1, image.shape[0] - 1):
        for column in range(1, image.shape[1] - 1):
            around = image[row - 1 : row + 2, column - 1 : column + 2].astype(int)
            total = around.sum(axis=(0, 1)) + 4 * around[1, 1]
            result[row, column] = np.floor(total / 13 + 0.5)
    return result


@pytest.mark.parametrize("name", image_operations.DEGENERATES)
def test_blends(name):
    """The degenerate plus the factor times the difference, cut off to whole numbers from 0 to 255."""
    settings = [each for each in settings_of(name) if each[1]][::7]
    for result, (_, magnitude) in zip(ours(NOISE, settings), settings, strict=True):
        factor, below = 1 + fraction(magnitude), degenerate(NOISE, name)
        exact = 10_000 * below + int(10_000 * factor) * (NOISE - below)
        # What is a whole number in fractions may be one less in float32; there Pillow's bits decide.
        sure = (exact % 10_000 != 0) | (below == NOISE)
        np.testing.assert_array_equal(result[sure], np.clip(exact // 10_000, 0, 255)[sure])
        assert sure.mean() > 0.9


@pytest.mark.parametrize("bits", [8, 6, 4, 2])
def test_posterize(bits):
    (result,) = ours(NOISE, [("posterize", float(bits))])
    step = 2 ** (8 - bits)
    np.testing.assert_array_equal(result, NOISE // step * step)


@pytest.mark.parametrize("threshold", [255.0, 127.5, 128.0, 0.0])
def test_solarize(threshold):
    (result,) = ours(NOISE, [("solarize", threshold)])
    for before, after in zip(NOISE.ravel().tolist(), result.ravel().tolist(), strict=True):
        assert after == (before if before < threshold else 255 - before)


def test_identity_is_nothing():
    np.testing.assert_array_equal(ours(NOISE, [("identity", 0.0)])[0], NOISE)


MIXED = (
    *(("identity", 0.0), ("rotate", 20.0), ("equalize", 0.0), ("auto_contrast", 0.0)),
    *(
        ("contrast", -0.7),
        ("color", 0.5),
        ("sharpness", 0.9),
        ("solarize", 100.0),
        ("shear_x", 0.3),
    ),
)
LARGE = RNG.integers(20, 230, (5, 18, 18, 3), dtype=np.uint8)


def chained(images, numbers, settings):
    """Image by image and operation by operation, by Pillow."""
    result = []
    for image, mine in zip(images, numbers, strict=True):
        for number in mine:
            name, magnitude = settings[number]
            image = stretched(image) if name == "auto_contrast" else pillow(image, name, magnitude)
        result.append(image)
    return np.stack(result)


def test_images_of_a_batch_get_their_own_one_after_the_other():
    numbers = RNG.integers(0, len(MIXED), (5, 3))
    numbers[0] = 2, 1, 2
    expected = chained(LARGE, numbers, MIXED)
    np.testing.assert_array_equal(compiled(MIXED)(LARGE, numbers), expected)


@pytest.mark.thorough
def test_under_vmap_and_scan_is_each_alone():
    numbers = RNG.integers(0, len(MIXED), (2, 5, 2))
    batches = np.stack([LARGE, LARGE[::-1]])
    one = functools.partial(image_operations.apply, settings=MIXED)
    together = quick_jit(jax.vmap(one))(batches, numbers)
    _, in_turn = quick_jit(lambda b, n: jax.lax.scan(lambda _, x: (None, one(*x)), None, (b, n)))(
        batches, numbers
    )
    for batch, mine, *results in zip(batches, numbers, together, in_turn, strict=True):
        for result in results:
            np.testing.assert_array_equal(result, chained(batch, mine, MIXED))


def test_an_unknown_operation_is_refused():
    with pytest.raises(ValueError, match="no operation 'invert'"):
        image_operations.apply(LARGE, np.zeros((5, 1), int), [("invert", 0.0)])


# torchvision 0.28, transforms/autoaugment.py: the greatest magnitude of each operation, and those of two bins.
TORCHVISION = {
    "randaugment": {
        **dict.fromkeys(("shear_x", "shear_y"), (0.3, 0.09, True)),
        "translate_x": (150 / 331 * 40, 0.3 * 150 / 331 * 40, True),
        "translate_y": (150 / 331 * 20, 0.3 * 150 / 331 * 20, True),
        "rotate": (30.0, 9.0, True),
        **dict.fromkeys(ENHANCERS, (0.9, 0.27, True)),
        "posterize": (4, 7, False),
        "solarize": (0.0, 178.5, False),
        **dict.fromkeys(("identity", "auto_contrast", "equalize"), (0.0, 0.0, False)),
    },
    "trivialaugment": {
        **dict.fromkeys(("shear_x", "shear_y"), (0.99, 0.297, True)),
        **dict.fromkeys(("translate_x", "translate_y"), (32.0, 9.6, True)),
        "rotate": (135.0, 40.5, True),
        **dict.fromkeys(ENHANCERS, (0.99, 0.297, True)),
        "posterize": (2, 6, False),
        "solarize": (0.0, 178.5, False),
        **dict.fromkeys(("identity", "auto_contrast", "equalize"), (0.0, 0.0, False)),
    },
}


@pytest.mark.parametrize("place", [30, 9])
def test_randaugment_has_torchvisions_magnitudes(place):
    settings = policies.randaugment_settings(Augmentation(magnitude=place), 20, 40)
    assert len(settings) == 28  # each operation twice, so that all are as likely
    for name, (last, ninth, signed) in TORCHVISION["randaugment"].items():
        expected = last if place == 30 else ninth
        magnitudes = [magnitude for each, magnitude in settings if each == name]
        assert magnitudes == pytest.approx([expected, -expected if signed else expected])


def test_trivialaugment_has_torchvisions_magnitudes():
    assert len(SETTINGS) == 14 * 31 * 2
    for name, (last, ninth, signed) in TORCHVISION["trivialaugment"].items():
        magnitudes = [magnitude for each, magnitude in SETTINGS if each == name]
        assert len(magnitudes) == 62
        for place, expected in ((30, last), (9, ninth)):
            pair = magnitudes[2 * place : 2 * place + 2]
            assert pair == pytest.approx([expected, -expected if signed else expected])
