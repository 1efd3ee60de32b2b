"""The embedded digits."""

import pathlib

import numpy as np
import pytest
from sklearn.datasets import load_digits

from cifar_jax.data import digits, load
from cifar_jax.errors import DataError


def test_arrays():
    dataset = load("digits")
    sizes = {}
    for split in ("train", "test"):
        images, labels = dataset.split(split)
        assert images.shape[1:] == (32, 32, 3)
        assert (images.dtype, labels.dtype) == (np.uint8, np.int32)
        assert (images.min(), images.max()) == (0, 255)
        assert np.array_equal(images[..., 0], images[..., 1])
        assert np.array_equal(images[..., 0], images[..., 2])
        sizes[split] = len(labels)
    assert dataset.sizes == sizes == {"train": 1438, "test": 359}
    assert dataset.class_names == tuple("0123456789")


def test_test_set_is_stratified_and_disjoint():
    dataset = load("digits")
    train, test = dataset.split("train"), dataset.split("test")
    everything = np.concatenate([train[1], test[1]])
    for digit in range(10):
        assert np.sum(test[1] == digit) == round(0.2 * np.sum(everything == digit))
    assert np.array_equal(np.bincount(everything), np.bincount(load_digits().target))
    assert not {x.tobytes() for x in train[0]} & {x.tobytes() for x in test[0]}


def test_statistics_are_those_of_the_training_images():
    dataset = load("digits")
    pixels = dataset.split("train")[0].reshape(-1, 3) / 255
    np.testing.assert_allclose(dataset.mean, pixels.mean(0), rtol=1e-10)
    np.testing.assert_allclose(dataset.std, pixels.std(0), rtol=1e-10)


def test_is_the_same_every_time():
    assert load("digits").fingerprint == load("digits").fingerprint
    assert load("digits") == load("digits")


def test_takes_no_archive():
    with pytest.raises(DataError, match="takes no archive"):
        load("digits", archive="cifar-10-binary.tar.gz")


@pytest.mark.parametrize("there", [True, False])
def test_the_file_holds_what_scikit_learn_gives(there, monkeypatch):
    """And where scikit-learn keeps it elsewhere, scikit-learn is asked."""
    if not there:
        monkeypatch.setattr(pathlib.Path, "exists", lambda _: False)
    ink, labels = digits._read()
    expected = load_digits()
    np.testing.assert_array_equal(ink, expected.images)
    np.testing.assert_array_equal(labels, expected.target)
