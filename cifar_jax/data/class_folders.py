"""A folder for each class: which pictures are there, and how they are divided into splits.

    PATH/train/CLASS/..., PATH/val/CLASS/..., PATH/test/CLASS/...      `val` and `test` where they are there
    PATH/CLASS/...                                                     divided here

Classes are the folders' names in order. A class has the pictures at any depth of its folder that `image_files.find`
takes: names that begin with a dot and links to folders are passed over. Without a `test`, a fifth of each class
becomes the test set, the same for all seeds; what is divided here is divided so that equal files stay together.
"""

import collections
import os

import numpy as np

from cifar_jax.data import image_files
from cifar_jax.data.dataset import stratified_split
from cifar_jax.errors import DataError

TRAIN, VALIDATION, TEST = "train", "val", "test"
# What else such folders are called; a class that is called so is one only where it has no folders in it.
LIKE_PARTS = {TRAIN, "training", VALIDATION, "valid", "validation", TEST, "testing"}
TEST_FRACTION = 0.2
# A constant, never the run's seed: the test set must be the same in every run.
TEST_SEED = 0


def find(root) -> tuple[dict, collections.Counter]:
    """Find the pictures: {"train": {class: [files]}, ...}, of the parts that are there, or {"": ...} of all together.

    Returns:
      (the pictures, how many of each kind were left out, as image_files.find counts them).
    Raises:
      DataError: no such folder, fewer than two classes, a part or a class without pictures, a class in `test` only, a
        folder that can't be read, or folders that are neither classes nor parts.
    """
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "there is no such folder"
        raise DataError(f"dataset.path={root}: {what}")
    divided = bool(_folders_in(root / TRAIN))
    _check_layout(root, divided)
    names = [each for each in (TRAIN, VALIDATION, TEST) if (root / each).is_dir()]
    places = {name: root / name for name in names} if divided else {"": root}
    left_out = collections.Counter()
    parts = {part: _pictures(place, left_out) for part, place in places.items()}
    classes = next(iter(parts.values()))
    if len(classes) < 2:
        links = left_out["links to folders"]
        passed_over = f" and {links} links to folders, which are not followed" if links else ""
        raise DataError(
            f"{root} has {len(classes)} class folder{'s' * (len(classes) != 1)}{passed_over}, and a classifier takes "
            "two or more: PATH/CLASS/picture.jpg, or PATH/train/CLASS/picture.jpg"
        )
    for part, pictures in parts.items():
        if unknown := sorted(set(pictures) - set(classes)):
            raise DataError(f"{root / part} has classes that {TRAIN} has not: {few(unknown)}")
        empty = [name for name, files in pictures.items() if not files]
        if len(empty) == len(pictures):
            raise DataError(
                f"{root / part} has no pictures in class folders: fill it, or take it away"
            )
        if empty and part in ("", TRAIN):
            raise DataError(f"{root / part} has class folders without pictures: {few(empty)}")
    return parts, +left_out


def few(names, most=5) -> str:
    """Name the first of a list: "cat, dog and 3 more"."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def _check_layout(root, divided):
    """Refuse a folder whose parts would be taken for classes, or whose classes would not be seen."""
    beside = [each for each in _folders_in(root) if each not in (TRAIN, VALIDATION, TEST)]
    if divided and beside:
        raise DataError(
            f"{root} has {few(beside)} beside {TRAIN}: its folders are {TRAIN}, {VALIDATION} and {TEST}, or the classes"
        )
    if divided:
        return
    for name in _folders_in(root):
        if name.lower() in LIKE_PARTS and _folders_in(root / name):
            raise DataError(
                f"{root / name} has folders of its own: parts are called {TRAIN}, {VALIDATION} and {TEST}, and "
                f"{TRAIN} is one of them"
            )


def _folders_in(folder):
    if not folder.is_dir():
        return []
    return sorted(
        each.name
        for each in folder.iterdir()
        if each.is_dir() and not each.is_symlink() and not each.name.startswith(".")
    )


def _pictures(folder, left_out):
    """Return the pictures in each class folder, {class: [files]}, and count in `left_out` what is beside them."""
    pictures = {}
    left_out["links to folders"] += sum(e.is_symlink() and e.is_dir() for e in folder.iterdir())
    for name in _folders_in(folder):
        if not os.access(folder / name, os.R_OK | os.X_OK):
            raise DataError(f"{folder / name}: can't be read")
        pictures[name], refused, others = image_files.find(folder / name)
        for each in refused:
            if each.path != str(folder / name):  # which has no pictures
                raise DataError(str(each))
        left_out += others
    return pictures


def seen(root, parts) -> dict:
    """Return what tells the files of each part from changed ones without reading them: [[path, size, time], ...]."""
    before = len(os.path.join(root, ""))  # of all files' names

    def of(file):
        try:
            status = os.stat(file)
        except OSError:  # a link to nothing, or gone by now
            return [file[before:], None, None]
        return [file[before:], status.st_size, status.st_mtime_ns]

    return {
        part: [of(file) for files in pictures.values() for file in files]
        for part, pictures in parts.items()
    }


def difference(before, now) -> str:
    """Say in words how two folders of `seen` differ: "2 new, 1 gone, 3 changed"."""
    old, new = (
        {each[0]: each[1:] for part in of.values() for each in part} for of in (before, now)
    )
    counts = {
        "new": len(new.keys() - old.keys()),
        "gone": len(old.keys() - new.keys()),
        "changed": sum(new[name] != old[name] for name in new.keys() & old.keys()),
    }
    return ", ".join(f"{number:,} {word}" for word, number in counts.items() if number)


def divide(parts, digests, log) -> tuple[dict, set]:
    """Divide the pictures into splits.

    Args:
      parts: {part: [(file, label)]}, of the parts that `find` gives.
      digests: file -> digest of its content.
      log: is told, in a line each, of copies and of a test set that is made here.
    Returns:
      ({"train": [(file, label)], "test": [(file, label)]}, the files of the validation set, with which train ends).
    """
    training, validation = parts.get(TRAIN, parts.get("")), parts.get(VALIDATION, [])
    repeated = len(training) - len({digests[file] for file, _ in training})
    if repeated:
        log(
            f"{repeated:,} of {len(training):,} pictures are copies of others; copies stay together."
        )
    test = parts.get(TEST)
    if test is None:
        first = {}
        for file, label in training:
            first.setdefault(digests[file], label)
        contents, labels = list(first), np.array(list(first.values()))
        _, chosen = stratified_split(labels, TEST_FRACTION, TEST_SEED)
        held = {contents[each] for each in chosen}
        test = [each for each in training if digests[each[0]] in held]
        log(f"{len(test):,} of {len(training):,} pictures are the test set, a fifth of each class.")
        training = [each for each in training if digests[each[0]] not in held]
    known = {digests[file] for file, _ in training}
    for name, pictures in ((VALIDATION, validation), (TEST, test)):
        if both := sum(digests[file] in known for file, _ in pictures):
            log(f"{both:,} of {len(pictures):,} pictures in {name} are in {TRAIN} too.")
    return {"train": training + validation, "test": test}, {file for file, _ in validation}
