"""Sets of images that are not the run's."""

import dataclasses

import numpy as np
import pytest

from cifar_jax import data
from cifar_jax.data import outliers
from cifar_jax.errors import DataError

RNG = np.random.default_rng(0)
TEST = RNG.integers(0, 256, (50, 32, 32, 3), dtype=np.uint8)


def dataset(name, class_names):
    return data.Dataset(name, tuple(class_names), (0,) * 3, (1,) * 3, {}, name, lambda split: None)


CIFAR10 = dataset("cifar10", ["airplane", "truck"])


@pytest.mark.parametrize("name", outliers.EMBEDDED)
def test_embedded_sets_are_the_same_for_the_same_seed(name):
    first, again, other = (outliers.load(name, 20, seed, CIFAR10, TEST) for seed in (0, 0, 1))
    assert first.images.shape == (20, 32, 32, 3) and first.images.dtype == np.uint8
    np.testing.assert_array_equal(first.images, again.images)
    assert not np.array_equal(first.images, other.images)
    assert len(np.unique(first.images.reshape(20, -1), axis=0)) == 20  # all different
    assert first.source == outliers.EMBEDDED[name] and not first.note


def test_digits_are_all_of_them():
    images = outliers.load("digits", 9999, 0, CIFAR10, TEST).images
    assert len(images) == 1797


def test_noise_has_its_moments():
    uniform = outliers.uniform_noise(RNG, 50) / 255
    np.testing.assert_allclose([uniform.mean(), uniform.std()], [0.5, 12**-0.5], atol=0.01)
    gaussian = outliers.gaussian_noise(RNG, 50)
    # P(x < 0) + P(0 <= x < half a step), likewise above.
    np.testing.assert_allclose(np.mean(gaussian == 0), 0.3085 + 0.0007, atol=0.005)
    np.testing.assert_allclose(np.mean(gaussian == 255), 0.3085 + 0.0007, atol=0.005)


def test_constant_colour_is_one_an_image():
    images = outliers.constant_colour(RNG, 30)
    assert (images == images[:, :1, :1]).all()
    assert (np.ptp(images, axis=(0, 1, 2)) > 150).all()


def test_patches_move_whole_and_none_is_lost():
    images = np.arange(5 * 16 * 12 * 3, dtype=np.int64).reshape(5, 16, 12, 3)
    shuffled = outliers.shuffled_patches(RNG, images)

    def squares(image):
        return {
            image[y : y + 4, x : x + 3].tobytes() for y in range(0, 16, 4) for x in range(0, 12, 3)
        }

    for before, after in zip(images, shuffled, strict=True):
        assert squares(before) == squares(after)
        assert not np.array_equal(before, after)


def test_no_image_stays_as_it_was():
    """Of four patches a 24th of the orders would be the image's own."""
    images = RNG.integers(0, 256, (2000, 2, 2, 1), dtype=np.uint8)
    images[:, ..., 0] = [[1, 2], [3, 4]]
    shuffled = outliers.shuffled_patches(RNG, images, patches=2)
    assert (shuffled != images).any(axis=(1, 2, 3)).all()
    assert len(np.unique(shuffled.reshape(2000, 4), axis=0)) == 23


def test_names_are_expanded_once():
    names = ["noise", "uniform_noise", "svhn_cropped", "digits"]
    expected = ["uniform_noise", "gaussian_noise", "svhn_cropped", "digits"]
    assert outliers.expand(names, "cifar10") == expected


@pytest.mark.parametrize(
    ("names", "trained_on", "message"),
    [
        (["digits"], "digits", "'digits' is what the run was trained on"),
        (["noise", "cifar10"], "cifar10:3.0.2", "'cifar10' is what the run was trained on"),
        (["gausian_noise"], "cifar10", "did you mean 'gaussian_noise'"),
        (["constant_color"], "cifar10", "did you mean 'constant_colour'"),
        (["digit"], "cifar10", "did you mean 'digits'"),
        ([], "cifar10", "noise, digits, uniform_noise, gaussian_noise"),
    ],
)
def test_wrong_names(names, trained_on, message):
    with pytest.raises(DataError, match=message):
        outliers.expand(names, trained_on)


def test_the_runs_own_images_under_another_name():
    own = dataclasses.replace(data.load("digits"), name="my_digits")
    with pytest.raises(DataError, match="the very images"):
        outliers.load("digits", 10, 0, own, TEST)


def test_other_sets_give_their_test_split_and_what_they_share(monkeypatch):
    images = RNG.integers(0, 256, (30, 32, 32, 3), dtype=np.uint8)
    asked = []

    def read(split):
        asked.append(split)
        return images, np.zeros(30, np.int32)

    other = dataclasses.replace(dataset("stl10", ["truck", "monkey"]), read=read)
    monkeypatch.setattr(data, "load", lambda name, folder, log, size: other)
    outside = outliers.load("stl10", 20, 0, CIFAR10, TEST)
    assert asked == ["test"] and outside.images.shape == (20, 32, 32, 3)
    assert outside.note == "the sets share 1 classes: truck"
    rows = {image.tobytes() for image in images}
    assert all(image.tobytes() in rows for image in outside.images)


def test_cifar100_is_near_cifar10():
    other = dataset("cifar100", ["bus"])
    assert outliers.overlap(CIFAR10, other).startswith("near: ")
    assert outliers.overlap(other, dataset("cifar10:3.0.2", ["truck"])).startswith("near: ")
    assert outliers.overlap(CIFAR10, dataset("svhn_cropped", "0123")) == ""


@pytest.mark.parametrize("name", ["digits", *outliers.GENERATED, "shuffled_patches"])
def test_images_have_the_size_of_the_runs(name):
    large = np.zeros((8, 40, 40, 3), np.uint8)
    assert outliers.load(name, 6, 0, CIFAR10, large).images.shape == (6, 40, 40, 3)
