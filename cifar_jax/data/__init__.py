"""Data sets as uint8 arrays, decoded once. Importing this loads neither JAX nor TFDS.

dataset = load("cifar10")
images, labels = dataset.split("train")        # uint8 [50000, 32, 32, 3], int32 [50000]
train, validation = stratified_split(labels, 0.1, seed=0)
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_collections

from cifar_jax import plugins
from cifar_jax.data import registered
from cifar_jax.data.dataset import Dataset, from_facts, stratified_split
from cifar_jax.data.images import SIZE
from cifar_jax.data.registered import register
from cifar_jax.errors import DataError

__all__ = [
    "Dataset",
    "from_facts",
    "has_classes",
    "load",
    "of_config",
    "register",
    "stratified_split",
]


def load(
    name: str,
    data_dir: str = "",
    archive: str = "",
    log: Callable[[str], Any] = print,
    fingerprint: str = "",
    path: str = "",
    max_unreadable: float = 0.01,
    size: int = SIZE,
) -> Dataset:
    """Load a data set, preparing it first where it is not on disk.

    Looked for in this order: the cache of decoded arrays; the prepared TFDS set, which is decoded
    into a cache beside it; `archive`, from which the set is prepared; the network.

    Args:
      name: "digits", "folder", one of `register`, or a TFDS set of fixed-size images: "cifar10", "mnist", ...
        Grey images and other sizes are brought to [S, S, 3].
      data_dir: the TFDS data folder; "" means the environment's TFDS_DATA_DIR, else
        ~/tensorflow_datasets. Where it cannot be written, $XDG_CACHE_HOME/cifar_jax/data (by
        default ~/.cache) takes what would be.
      archive: an official CIFAR archive or the folder it extracts to; "" for none.
      log: called with one line for each thing that takes time or is out of the ordinary.
      fingerprint: of the set that a run was trained on, "" for none: it decides whether a set on disk is the
        run's, so `archive` is not looked at unless there is no set. Who calls compares it.
      path: of "folder": the folder of class folders.
      max_unreadable: of "folder": the greatest share of files that are no pictures.
      size: S, pixels.
    Returns:
      A `Dataset`.
    Raises:
      DataError: if the name is unknown or of the wrong kind, the set cannot be had (without
        network: within seconds), the archive is bad, or the set on disk is from another archive.
    """
    if own := plugins.find("data set", registered.DATASETS, name):
        return registered.load(name, own, data_dir, size)
    if name == "digits":
        from cifar_jax.data import digits

        return digits.load(archive, size)
    if name == "folder":
        from cifar_jax.data import from_folders

        return from_folders.load(path, data_dir, max_unreadable, log, size, fingerprint)
    from cifar_jax.data import store

    return store.load(name, data_dir, archive, log, fingerprint, size)


def of_config(
    config: ml_collections.ConfigDict, log: Callable[[str], Any] = print, fingerprint: str = ""
) -> Dataset:
    """Load the data set of config.dataset; `log` and `fingerprint` as of `load`."""
    return load(
        config.name,
        config.data_dir,
        config.archive,
        log,
        fingerprint,
        config.path,
        config.max_unreadable,
        config.image_size,
    )


def has_classes(path: str | os.PathLike[str]) -> bool:
    """Return whether a folder is one of class folders with pictures."""
    from cifar_jax.data import class_folders

    try:
        class_folders.find(Path(path).expanduser())
    except DataError:
        return False
    return True
