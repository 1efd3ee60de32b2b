"""A loaded data set: facts, and a way to its arrays."""

import dataclasses
from collections.abc import Callable

import numpy as np

SPLITS = ("train", "test")


@dataclasses.dataclass(frozen=True)
class Dataset:
    """An image-classification set whose facts are known before its arrays are read.

    name: as given to `load`.
    class_names: in the order of the labels.
    mean, std: per channel, of pixel / 255; the deviation of a constant channel is 0.
    sizes: {"train": N, "test": M}.
    fingerprint: SHA-256, in hex, over images and labels of both splits.
    """

    name: str
    class_names: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    sizes: dict
    fingerprint: str
    read: Callable = dataclasses.field(repr=False, compare=False)

    def facts(self) -> dict:
        """Return all but fingerprint and arrays, JSON-able: what a trained model still has to know of its data."""
        return {
            "name": self.name,
            "class_names": list(self.class_names),
            "mean": list(self.mean),
            "std": list(self.std),
            "sizes": dict(self.sizes),
        }

    def split(self, name) -> tuple[np.ndarray, np.ndarray]:
        """Return the arrays of one split; only that split's files are read.

        Args:
          name: "train" or "test".
        Returns:
          (images, labels): uint8 [N, 32, 32, 3] and int32 [N], read-only, memory mapped from the
          cache (digits: in memory).
        Raises:
          ValueError: for another split name.
          DataError: if the cache is damaged and cannot be rebuilt.
        """
        if name not in SPLITS:
            raise ValueError(f"there is no split '{name}', only {' and '.join(SPLITS)}")
        return self.read(name)


def from_facts(facts, fingerprint, read) -> Dataset:
    """Build a Dataset out of `Dataset.facts` again."""
    tuples = {name: tuple(facts[name]) for name in ("class_names", "mean", "std")}
    return Dataset(**{**facts, **tuples}, fingerprint=fingerprint, read=read)
