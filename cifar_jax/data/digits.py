"""scikit-learn's embedded handwritten digits: a data set that needs neither network nor disk.

1,797 grey images of 8 x 8 pixels, from the UCI "Optical Recognition of Handwritten Digits" test
set (Alpaydin and Kaynak, 1998).
"""

import importlib.util
import pathlib

import numpy as np

from cifar_jax.data import cache
from cifar_jax.data.dataset import Dataset, stratified_split
from cifar_jax.data.images import SIZE, fit_all
from cifar_jax.errors import DataError

CLASS_NAMES = tuple("0123456789")
TEST_FRACTION = 0.2
# A constant, never the run's seed: the test set must be the same in every run.
TEST_SEED = 0


def load(archive="", size=SIZE) -> Dataset:
    """Load the digits as a `Dataset`: 1,438 training and 359 test images in 10 classes.

    Raises:
      DataError: if an archive is given.
    """
    if archive:
        raise DataError(
            "The 'digits' data set is embedded and takes no archive. Leave dataset.archive empty, "
            "or set dataset.name to the archive's set."
        )
    images, labels = _read()
    # The set counts ink in 0..16; the whole range of a byte is used.
    grey = np.rint(images * (255 / 16)).astype(np.uint8)
    rgb = fit_all(grey, size)
    train, test = stratified_split(labels, TEST_FRACTION, TEST_SEED)
    splits = {"train": (rgb[train], labels[train]), "test": (rgb[test], labels[test])}
    return cache.in_memory("digits", CLASS_NAMES, splits)


def _read():
    """Read ink [N, 8, 8] in 0..16 and labels int32 [N] from the file that scikit-learn's package brings.

    To import scikit-learn takes as long as to import JAX; where it keeps the file elsewhere, it is asked.
    """
    package = importlib.util.find_spec("sklearn").origin
    path = pathlib.Path(package).parent / "datasets/data/digits.csv.gz"
    if path.exists():
        table = np.loadtxt(path, delimiter=",", dtype=np.int32)
    else:
        from sklearn.datasets import load_digits

        table = np.column_stack(load_digits(return_X_y=True)).astype(np.int32)
    return table[:, :-1].reshape(-1, 8, 8), table[:, -1]
