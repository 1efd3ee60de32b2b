"""A loaded data set: facts, and a way to its arrays; its statistics, and its division in two."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

SPLITS = ("train", "test")
# Over all 50,000 training images and all pixels, in units of pixel / 255. The often copied CIFAR-10
# deviation (0.2023, 0.1994, 0.2010) is wrong: it is the mean over images of each image's deviation.
KNOWN = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
}


NUMBERS_AT_ONCE = 2**24


@dataclasses.dataclass(frozen=True)
class Dataset:
    """An image-classification set whose facts are known before its arrays are read.

    name: as given to `load`.
    class_names: in the order of the labels.
    mean, std: per channel, of pixel / 255; the deviation of a constant channel is 0.
    sizes: {"train": N, "test": M}.
    fingerprint: SHA-256, in hex, over images and labels of both splits.
    held_out: how many images at the end of the training split are the set's own validation set.
    groups: numbers of training images, a tuple for each group that no division separates.
    """

    name: str
    class_names: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    sizes: dict[str, int]
    fingerprint: str
    read: Callable[[str], tuple[np.ndarray, np.ndarray]] = dataclasses.field(
        repr=False, compare=False
    )
    held_out: int = 0
    groups: tuple[tuple[int, ...], ...] = dataclasses.field(default=(), repr=False)

    def facts(self) -> dict[str, Any]:
        """Return all but fingerprint and arrays, JSON-able: what a trained model still has to know of its data."""
        names = ("name", "class_names", "mean", "std", "sizes")
        return {name: getattr(self, name) for name in names}

    def split(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the arrays of one split; only that split's files are read.

        Args:
          name: "train" or "test".
        Returns:
          (images, labels): uint8 [N, S, S, 3] and int32 [N], read-only, memory mapped from the
          cache (digits: in memory).
        Raises:
          ValueError: for another split name.
          DataError: if the cache is damaged and cannot be rebuilt.
        """
        if name not in SPLITS:
            raise ValueError(f"there is no split '{name}', only {' and '.join(SPLITS)}")
        return self.read(name)

    def divide(
        self, labels: npt.ArrayLike, fraction: float, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Divide the training split for training and validation; a validation set of its own is taken as it is.

        Args:
          labels: integers [N], of the training split.
          fraction: of `stratified_split`; 0 gives no validation set.
          seed: of `stratified_split`.
        Returns:
          (train_indices, validation_indices): sorted int64 arrays.
        """
        if not self.held_out:
            return stratified_split(labels, fraction, seed, self.groups)
        count = len(np.asarray(labels))
        first = count - self.held_out
        return np.arange(first), np.arange(first, count if fraction else first)


def from_facts(facts: dict[str, Any], fingerprint: str, read: Callable) -> Dataset:
    """Build a Dataset out of `Dataset.facts` again."""
    tuples = {name: tuple(facts[name]) for name in ("class_names", "mean", "std")}
    return Dataset(**{**facts, **tuples}, fingerprint=fingerprint, read=read)


def mean_and_std(name, images) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the published constants where `name` has them, else those computed from `images`.

    The sums are of integers, so the result does not depend on summation order, and the deviation of a channel that has
    one value is 0.

    Args:
      name: the data set's name.
      images: the training images, uint8 [N, H, W, C].
    Returns:
      (mean, std): tuples of C floats, of pixel / 255.
    """
    if name in KNOWN:
        return KNOWN[name]
    channels = images.shape[-1]
    sums = np.zeros((2, channels), np.int64)
    some = max(1, NUMBERS_AT_ONCE // math.prod(images.shape[1:]))
    for start in range(0, len(images), some):
        part = images[start : start + some].reshape(-1, math.prod(images.shape[1:]))
        for total, numbers in zip(sums, (part, np.square(part, dtype=np.uint16)), strict=True):
            total += numbers.sum(0, dtype=np.int64).reshape(-1, channels).sum(0)
    first, second = sums / (images.size // channels)
    mean, std = first / 255, np.sqrt(second - first**2) / 255
    return tuple(mean.tolist()), tuple(std.tolist())


def stratified_split(
    labels: npt.ArrayLike, fraction: float, seed: int, groups: Iterable[Sequence[int]] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Draw `fraction` of every class for validation.

    Each class of n examples gives round(fraction * n) of them (Python's round: halves to even), so
    the validation set has the class balance of the whole. NumPy's Philox generator is used because
    its stream is fixed by NumPy's compatibility policy: one seed, one split, on every machine.

    Args:
      labels: integers [N].
      fraction: float in [0, 1]; 0 gives an empty validation set.
      seed: int >= 0.
      groups: sequences of indices; those of one are not separated, and count as their first one.
    Returns:
      (train_indices, validation_indices): sorted int64 arrays, disjoint, together 0..N-1.
    Raises:
      ValueError: if `fraction` is outside [0, 1] or `labels` is not one-dimensional.

    Example:
      >>> train, validation = stratified_split([0, 0, 1, 1], 0.5, seed=0)
      >>> len(train), len(validation)
      (2, 2)
    """
    labels = np.asarray(labels)
    if labels.ndim != 1:
        raise ValueError(f"labels must have shape [N], not {list(labels.shape)}")
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction must be between 0 and 1, not {fraction}")
    keys = np.random.Generator(np.random.Philox(seed)).random(labels.size)
    chosen, counted = np.zeros(labels.size, bool), np.ones(labels.size, bool)
    for _, *others in groups:
        counted[others] = False
    for label in np.unique(labels):
        members = np.flatnonzero((labels == label) & counted)
        # The smallest random keys of a class are a uniform draw without replacement.
        order = np.argsort(keys[members], kind="stable")
        chosen[members[order[: round(fraction * members.size)]]] = True
    for first, *others in groups:
        chosen[others] = chosen[first]
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)
