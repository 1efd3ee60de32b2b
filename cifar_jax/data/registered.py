"""Data sets of a user's own: functions that give arrays."""

import inspect
from collections.abc import Callable

import numpy as np

from cifar_jax import plugins
from cifar_jax.data import cache, images
from cifar_jax.data.dataset import KNOWN, SPLITS, Dataset
from cifar_jax.errors import DataError, users_code
from cifar_jax.plugins import Made

# Name -> function; None of what is ours.
DATASETS = dict.fromkeys(("digits", "folder", *KNOWN))
WANTED = (
    'it returns {"train": (images, labels), "test": (images, labels), "class_names": names}, images uint8 [N, H, W, 3] '
    "or [N, H, W], labels integers [N] from 0"
)


def register(name: str) -> Callable[[Made], Made]:
    """Make a data set of one's own one of that name: a decorator of a function that gives its arrays.

    It takes nothing, or `data_dir` (dataset.data_dir, a str), and returns {"train": (images, labels), "test": (images,
    labels), "class_names": [str, ...]}: images uint8 [N, H, W, 3] or [N, H, W], of any size, labels integers [N].

    Raises:
        ConfigError: the name is one of ours.
    """

    return plugins.registering("data set", DATASETS, name)


def load(name, function, data_dir, size) -> Dataset:
    """Load a registered set as a `Dataset`, its images brought to `size` x `size` pixels.

    Raises:
        DataError: it does not give what `register` says.
        ConfigError: it raises something else.
    """
    takes = inspect.signature(function).parameters
    with users_code(f"data set {name!r}"):
        given = function(**({"data_dir": data_dir} if "data_dir" in takes else {}))
    if not isinstance(given, dict) or not {*SPLITS, "class_names"} <= set(given):
        raise DataError(f"the data set {name!r} gives other things than are wanted: {WANTED}")
    names = given["class_names"]
    if (
        not isinstance(names, list | tuple)
        or len({*map(str, names)}) != len(names)
        or len(names) < 2
    ):
        raise DataError(
            f"the data set {name!r}: class_names is a list of two or more different names, not {names!r:.100}"
        )
    class_names = tuple(map(str, names))
    splits = {split: _arrays(name, split, given[split], len(class_names), size) for split in SPLITS}
    return cache.in_memory(name, class_names, splits)


def _arrays(name, split, given, classes, size):
    """Return (uint8 [N, S, S, 3], int32 [N]) of what is given for a split."""
    try:
        pixels, labels = map(np.asarray, given)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"the data set {name!r}, {split}: no images and labels; {WANTED}"
        ) from error
    pixels = np.repeat(pixels[..., None], 3, axis=-1) if pixels.ndim == 3 else pixels
    shape = " x ".join(map(str, pixels.shape))
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[-1] != 3 or 0 in pixels.shape:
        raise DataError(
            f"the data set {name!r}, {split}: images are {pixels.dtype} {shape}; {WANTED}"
        )
    if labels.dtype.kind not in "iu" or labels.shape != pixels.shape[:1]:
        raise DataError(
            f"the data set {name!r}, {split}: labels are {labels.dtype} of shape {labels.shape}, for {shape}; {WANTED}"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(
            f"the data set {name!r}, {split}: labels are {labels.min()} to {labels.max()}, for {classes} class_names"
        )
    return images.fit_all(pixels, size), labels.astype(np.int32)
