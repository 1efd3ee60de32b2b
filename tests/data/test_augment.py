"""Augmentation against NumPy, image by image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_jit import quick_jit

from cifar_jax.models.inference import normalize
from cifar_jax.train import erasing
from cifar_jax.train.augment import (
    Augmentation,
    alternating_mask,
    apply_augmentation,
    augment,
    crop,
    cutout,
    draw,
    flip,
    rotate,
)
from cifar_jax.train.policies import POLICIES

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
PAD = {"zero": "constant", "reflect": "reflect"}


def crop_reference(images, offsets, padding, mode):
    result = []
    for image, (row, column) in zip(images, offsets, strict=True):
        border = ((padding, padding), (padding, padding), (0, 0))
        padded = np.pad(image, border, mode=PAD[mode])
        result.append(padded[row : row + image.shape[0], column : column + image.shape[1]])
    return np.stack(result)


def flip_reference(images, mask):
    return np.stack([x[:, ::-1] if m else x for x, m in zip(images, mask, strict=True)])


def cutout_reference(images, centres, size, fill):
    result = images.copy()
    for image, (row, column) in zip(result, centres, strict=True):
        for y in range(row - size // 2, row - size // 2 + size):
            for x in range(column - size // 2, column - size // 2 + size):
                if 0 <= y < image.shape[0] and 0 <= x < image.shape[1]:
                    image[y, x] = fill
    return result


@pytest.mark.parametrize("mode", ["zero", "reflect"])
@pytest.mark.parametrize("padding", [1, 4])
def test_crop(mode, padding):
    offsets = RNG.integers(0, 2 * padding + 1, (9, 2))
    offsets[:2] = (0, 0), (2 * padding, 2 * padding)
    result = jax.jit(crop, static_argnums=(2, 3))(IMAGES, offsets, padding, mode)
    assert result.dtype == jnp.uint8
    np.testing.assert_array_equal(result, crop_reference(IMAGES, offsets, padding, mode))


def test_crop_in_the_middle_changes_nothing():
    np.testing.assert_array_equal(crop(IMAGES, np.full((9, 2), 4), 4, "reflect"), IMAGES)


def test_flip():
    mask = np.arange(9) % 2 == 0
    np.testing.assert_array_equal(flip(IMAGES, mask), flip_reference(IMAGES, mask))


def test_alternating_flips_half_at_first_and_then_the_other_half():
    """Each image by its own number, whatever its batch; a key of its own gives another half."""
    mask = jax.jit(alternating_mask)
    key, everything = jax.random.PRNGKey(1), np.arange(2000)
    first, second, third, fourth = (np.asarray(mask(key, everything, epoch)) for epoch in range(4))
    assert first.dtype == bool and 900 < first.sum() < 1100
    np.testing.assert_array_equal(second, ~first)
    np.testing.assert_array_equal(third, first)
    np.testing.assert_array_equal(fourth, second)
    batch = np.random.default_rng(0).permutation(2000)[:64]
    np.testing.assert_array_equal(mask(key, batch, 3), fourth[batch])
    assert 900 < (first != mask(jax.random.PRNGKey(2), everything, 0)).sum() < 1100
    together = jax.vmap(alternating_mask, in_axes=(0, None, None))
    keys = jnp.stack([jax.random.PRNGKey(2), key])
    np.testing.assert_array_equal(together(keys, batch, 0)[1], first[batch])


def test_alternating_mode_mirrors_those_it_is_told_and_leaves_the_other_draws():
    told, key = np.arange(9) % 3 == 0, jax.random.key(3)
    options = {"crop_padding": 2, "cutout": 4}
    alternating = Augmentation(flip=True, flip_mode="alternating")
    np.testing.assert_array_equal(
        augment(key, IMAGES, alternating, told), flip_reference(IMAGES, told)
    )
    with_crop = Augmentation(flip=True, flip_mode="alternating", **options)
    np.testing.assert_array_equal(
        augment(key, IMAGES, with_crop, np.zeros(9, bool)),
        augment(key, IMAGES, Augmentation(**options)),
    )
    for augmentation, mirrored in [(alternating, None), (Augmentation(flip=True), told)]:
        with pytest.raises(ValueError, match="alternating"):
            augment(key, IMAGES, augmentation, mirrored)


def rotation_reference(images, angles):
    """Each pixel from the nearest one that turning back leads to; rows count downwards."""
    result, (height, width) = np.zeros_like(images), images.shape[1:3]
    centre = complex((width - 1) / 2, (height - 1) / 2)
    for image, turned, angle in zip(images, result, angles, strict=True):
        back = np.exp(1j * np.deg2rad(angle))
        for row in range(height):
            for column in range(width):
                place = (complex(column, row) - centre) * back + centre
                y, x = round(place.imag), round(place.real)
                if 0 <= y < height and 0 <= x < width:
                    turned[row, column] = image[y, x]
    return result


def test_rotation():
    # No multiple of a degree: float32 and float64 then round the same way.
    angles = np.float32([0, 0.37, 3.1, -9.7, 10.2, 44.3, -71.9, 133.3, 179.1])
    result = jax.jit(rotate)(IMAGES, angles)
    assert result.dtype == jnp.uint8
    np.testing.assert_array_equal(result, rotation_reference(IMAGES, angles))
    np.testing.assert_array_equal(result[0], IMAGES[0])


def test_a_quarter_turn_is_counter_clockwise():
    turned = rotate(IMAGES, np.full(9, 90, np.float32))
    np.testing.assert_array_equal(turned, np.rot90(IMAGES, axes=(1, 2)))


@pytest.mark.parametrize("size", [1, 7, 8, 16])
def test_cutout(size):
    centres = RNG.integers(0, 32, (9, 2))
    centres[:4] = (0, 0), (31, 31), (0, 31), (16, 16)
    result = cutout(IMAGES, centres, size, fill=(1, 2, 3))
    assert result.dtype == jnp.uint8
    np.testing.assert_array_equal(result, cutout_reference(IMAGES, centres, size, (1, 2, 3)))


def test_cutout_fills_with_what_normalises_to_zero():
    square = cutout(IMAGES, np.full((9, 2), 16), 40)
    cifar10 = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
    assert np.abs(normalize(square, *cifar10)).max() < 0.01


compiled_draw = quick_jit(draw, static_argnums=(1, 2, 3))
draw_boxes = quick_jit(erasing.draw_boxes, static_argnums=(1, 2, 3))


def test_the_draws_of_older_recipes_stay():
    """What a key has always drawn, whatever stands beside it."""
    older = {"crop_padding": 4, "flip": True, "rotation": 10.0, "cutout": 8}
    every = Augmentation(**older, policy="randaugment", erasing=0.5)
    drawn = compiled_draw(jax.random.PRNGKey(3), 4, (32, 32, 3), every)
    assert drawn["offsets"].tolist() == [[4, 1], [7, 6], [8, 5], [1, 5]]
    assert drawn["mirrored"].tolist() == [True, False, True, False]
    angles = [-4.528453350067139, 9.29893970489502, -8.424283981323242, 5.5486226081848145]
    np.testing.assert_allclose(drawn["angles"], angles, rtol=1e-6)
    assert drawn["centres"].tolist() == [[16, 12], [5, 23], [22, 22], [18, 31]]


@pytest.mark.thorough
def test_the_parts_come_in_order():
    """Crop, flip, the policy, rotation, cutout, erasing: each told, one after the other."""
    parts = {"crop_padding": 2, "flip": True, "rotation": 30.0, "cutout": 9, "erasing": 1.0}
    every = Augmentation(**parts, policy="randaugment", cutout_fill=(1, 2, 3))
    drawn = draw(jax.random.key(1), 9, (32, 32, 3), every)
    policy = POLICIES["randaugment"]
    expected = flip(crop(IMAGES, drawn["offsets"], 2), drawn["mirrored"])
    expected = rotate(policy.apply(expected, drawn["policy"], every), drawn["angles"])
    expected = cutout(expected, drawn["centres"], 9, (1, 2, 3))
    expected = erasing_reference(np.asarray(expected), np.asarray(drawn["boxes"]), (1, 2, 3))
    compiled = quick_jit(apply_augmentation, static_argnums=2)(IMAGES, drawn, every)
    np.testing.assert_array_equal(compiled, expected)


@pytest.mark.thorough
def test_policies_and_erasing_are_the_same_compiled_or_not():
    augmentation, key = Augmentation(policy="trivialaugment", erasing=0.5), jax.random.key(2)
    compiled = jax.jit(augment, static_argnums=2)(key, IMAGES, augmentation)
    np.testing.assert_array_equal(augment(key, jnp.asarray(IMAGES), augmentation), compiled)


def chi_square(counts):
    """Of counts that should be equal: as many as its degrees of freedom on average, with a deviation of sqrt(2 n)."""
    expected = counts.sum() / len(counts)
    return ((counts - expected) ** 2 / expected).sum()


@pytest.mark.parametrize(("policy", "count"), [("randaugment", 3), ("trivialaugment", 1)])
def test_each_image_draws_its_operations_alike(policy, count):
    augmentation = Augmentation(policy=policy, operations=3)
    drawn = compiled_draw(jax.random.key(0), 20_000, (32, 32, 3), augmentation)["policy"]
    settings = {"randaugment": 28, "trivialaugment": 868}[policy]
    assert drawn.shape == (20_000, count)
    for column in np.asarray(drawn).T:
        counts = np.bincount(column, minlength=settings)
        assert len(counts) == settings
        assert chi_square(counts) < settings + 5 * np.sqrt(2 * settings)
    if count > 1:  # one draw says nothing of the next
        pairs = np.bincount(np.asarray(drawn[:, 0] * settings + drawn[:, 1]), minlength=settings**2)
        assert chi_square(pairs) < settings**2 + 5 * np.sqrt(2 * settings**2)


def erasing_reference(images, boxes, fill):
    result = images.copy()
    for image, (row, column, height, width) in zip(result, boxes, strict=True):
        image[row : row + height, column : column + width] = fill
    return result


@pytest.mark.parametrize(
    "shape", [(32, 32, 3), pytest.param((12, 40, 3), marks=pytest.mark.thorough)]
)
def test_erased_boxes(shape):
    """Half of the images, of 2 to 33 per cent, of every ratio, everywhere, and never the whole side."""
    boxes = np.asarray(draw_boxes(jax.random.key(0), 20_000, shape, 0.5))
    erased = boxes[boxes[:, 2] > 0]
    assert 0.48 < len(erased) / len(boxes) < 0.52 and not boxes[boxes[:, 2] == 0, 2:].any()
    corners, sides = erased[:, :2], erased[:, 2:]
    assert (
        (corners >= 0).all() and (corners + sides <= shape[:2]).all() and (sides < shape[:2]).all()
    )
    # Both ends of the corners' range, row and column.
    assert (corners == 0).any(axis=0).all() and (corners + sides == shape[:2]).any(axis=0).all()
    # Each side is a whole number, so a small box is off by more.
    area, ratio = sides.prod(axis=1), sides[:, 0] / sides[:, 1]
    whole = shape[0] * shape[1]
    large = sides.min(axis=1) >= 5
    assert area.min() >= 0.01 * whole and area.max() <= 0.36 * whole
    assert ratio[large].min() > 0.25 and ratio[large].max() < 4
    if shape[0] == shape[1]:
        assert abs(np.log(ratio)).mean() > 0.5 and abs(np.mean(np.log(ratio))) < 0.02
        # Uniform in area but for the few that did not fit; and between row and column there is no difference.
        assert np.mean(area) / whole == pytest.approx(0.175, abs=0.01)
        assert np.mean(corners[:, 0]) == pytest.approx(np.mean(corners[:, 1]), abs=0.3)


def test_ten_tries_fail_where_no_box_fits():
    """A row of pixels has no box that is lower than the image."""
    boxes = np.asarray(draw_boxes(jax.random.key(0), 9, (1, 100, 3), 1.0))
    assert not boxes[:, 2:].any()


def test_erasing_fills_as_cutout_does():
    augmentation = Augmentation(erasing=1.0)
    boxes = jnp.concatenate([RNG.integers(0, 20, (9, 2)), RNG.integers(1, 13, (9, 2))], axis=1)
    result = apply_augmentation(IMAGES, {"boxes": boxes}, augmentation)
    expected = erasing_reference(IMAGES, np.asarray(boxes), (125, 123, 114))
    np.testing.assert_array_equal(result, expected)
    assert (result != IMAGES).any(axis=(1, 2, 3)).all()


CONFIGURATIONS = [
    Augmentation(),
    Augmentation(crop_padding=4),
    Augmentation(crop_padding=2, crop_mode="reflect", flip=True),
    Augmentation(crop_padding=4, flip=True, cutout=16),
    Augmentation(cutout=7, cutout_fill=(0,)),
]


@pytest.mark.parametrize("augmentation", CONFIGURATIONS)
@pytest.mark.parametrize("typed", [True, False])
def test_augment_draws_and_applies(augmentation, typed):
    key = jax.random.key(3) if typed else jax.random.PRNGKey(3)
    keys = jax.random.split(key, 3)
    expected = IMAGES
    if augmentation.crop_padding:
        top = 2 * augmentation.crop_padding + 1
        offsets = np.asarray(jax.random.randint(keys[0], (9, 2), 0, top))
        expected = crop_reference(
            expected, offsets, augmentation.crop_padding, augmentation.crop_mode
        )
    if augmentation.flip:
        expected = flip_reference(expected, np.asarray(jax.random.bernoulli(keys[1], 0.5, (9,))))
    if augmentation.cutout:
        centres = np.asarray(jax.random.randint(keys[2], (9, 2), 0, 32))
        expected = cutout_reference(
            expected, centres, augmentation.cutout, augmentation.cutout_fill
        )
    compiled = jax.jit(augment, static_argnums=2)(key, IMAGES, augmentation)
    assert compiled.dtype == jnp.uint8
    np.testing.assert_array_equal(compiled, expected)
    np.testing.assert_array_equal(augment(key, jnp.asarray(IMAGES), augmentation), expected)


def test_augment_of_nothing_is_nothing():
    """What is off must not reach the compiled program."""
    text = jax.jit(augment, static_argnums=2).lower(jax.random.key(0), IMAGES, Augmentation())
    assert "while" not in text.compile().as_text()
    assert "gather" not in text.compile().as_text()


@pytest.mark.thorough
def test_augment_under_vmap_is_each_alone():
    augmentation = CONFIGURATIONS[3]
    keys = jax.random.split(jax.random.key(5), 3)
    images = np.stack([IMAGES, IMAGES[::-1], 255 - IMAGES])

    def augmented(key, images):
        return augment(key, images, augmentation)

    together, augment_alone = quick_jit(jax.vmap(augmented))(keys, images), quick_jit(augmented)
    alone = [augment_alone(*each) for each in zip(keys, images, strict=True)]
    np.testing.assert_array_equal(together, np.stack(alone))


def test_every_offset_is_drawn():
    """Offsets reach both ends: a common mistake leaves the last one out."""
    # An image whose pixels say where they came from.
    rows = np.broadcast_to(np.arange(1, 33, dtype=np.uint8)[:, None, None], (32, 32, 3))
    images = np.broadcast_to(rows, (500, 32, 32, 3))
    result = np.asarray(augment(jax.random.key(0), images, Augmentation(crop_padding=4)))
    # The middle row holds 17 - 4 + offset.
    assert set(result[:, 16, 16, 0].tolist()) == {13, 14, 15, 16, 17, 18, 19, 20, 21}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_normalize(dtype):
    mean, std = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
    result = normalize(jnp.asarray(IMAGES), mean, std, dtype)
    assert result.dtype == dtype
    expected = (IMAGES / 255 - np.array(mean)) / np.array(std)
    tolerance = 1e-6 if dtype == jnp.float32 else 2**-8
    np.testing.assert_allclose(
        np.asarray(result, np.float64), expected, rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize(
    "wrong",
    [
        *({"crop_mode": "edge"}, {"flip_mode": "odd"}, {"crop_padding": -1}, {"cutout": -1}),
        *({"policy": "autoaugment"}, {"operations": 0}, {"magnitude": 31}, {"erasing": 1.5}),
    ],
)
def test_refuses(wrong):
    with pytest.raises(ValueError):
        Augmentation(**wrong)
