"""Decoded arrays on disk: four .npy files and a manifest that vouches for every one of them.

    cifar_jax_cache/manifest.json, train_images.npy, train_labels.npy, test_images.npy, ...

A cache is written into a temporary folder and renamed when complete, so a killed process leaves
nothing that a later one would believe. Reading checks shapes and counts at once, and the SHA-256
of a split when that split is mapped.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path

import numpy as np

from cifar_jax.data import folders
from cifar_jax.data.dataset import SPLITS, Dataset, mean_and_std
from cifar_jax.data.images import SIZE
from cifar_jax.errors import DataError

FORMAT = 1
KINDS = ("images", "labels")


class Damaged(Exception):
    """The cache is not what its manifest says. The message says in which way."""


def write(home: Path, facts: dict, examples: dict, size=SIZE) -> Path:
    """Write a cache into the version folder `home`, replacing one that is there.

    Args:
      home: the folder that gets the cache folder; made where it does not exist.
      facts: {"name": str, "class_names": [str, ...], "source": dict}, kept in the manifest.
      examples: for "train" and "test" a pair (count, iterable of (uint8 [S, S, 3], int label)).
      size: S.
    Returns:
      The cache folder.
    Raises:
      DataError: if a label is out of range, the count is wrong or the disk is full.
    """
    with scratch_folder(home) as scratch:
        new, final = scratch / folders.cache_name(size), home / folders.cache_name(size)
        new.mkdir()
        arrays = {
            split: _write_split(new, split, *examples[split], len(facts["class_names"]), size)
            for split in SPLITS
        }
        mean, std = mean_and_std(facts["name"], np.load(new / "train_images.npy", mmap_mode="r"))
        content = {**facts, "format": FORMAT, "mean": mean, "std": std, "arrays": arrays}
        content["fingerprint"] = fingerprint(arrays)
        manifest = {"content": content, "sha256": _content_digest(content)}
        (new / folders.CACHE_MARK).write_text(json.dumps(manifest, indent=1))
        swap_in(new, final, scratch / "old")
    return final


@contextlib.contextmanager
def scratch_folder(home: Path):
    """Make a folder to decode in, within `home`, which is made too; a full disk becomes a DataError."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        with temporary_folder(home) as scratch:
            yield Path(scratch)
    except OSError as error:
        raise DataError(
            f"Could not write the decoded images into {home}: {error}. Free some space there, or "
            "choose another folder with --config.dataset.data_dir=DIR."
        ) from error


def read_manifest(folder: Path) -> dict:
    """Read the manifest's content, with every array's shape and type checked against its file.

    Raises:
      Damaged: if anything is missing or differs.
    """
    try:
        manifest = json.loads((folder / folders.CACHE_MARK).read_text())
        content = manifest["content"]
        if manifest["sha256"] != _content_digest(content):
            raise Damaged("manifest.json was changed")
        if content["format"] != FORMAT:
            raise Damaged(f"it has format {content['format']}, this version reads {FORMAT}")
        for split in SPLITS:
            for kind in KINDS:
                _open(folder, split, kind, content["arrays"][split][kind])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Damaged(f"manifest.json cannot be read ({error})") from error
    return content


def read_split(folder: Path, content: dict, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Map one split after checking its SHA-256.

    Returns:
      (images, labels): read-only uint8 [N, S, S, 3] and int32 [N], memory mapped.
    Raises:
      Damaged: if a file is missing or differs from what was written.
    """
    mapped = []
    for kind in KINDS:
        entry = content["arrays"][split][kind]
        array = _open(folder, split, kind, entry)
        if digest(array) != entry["sha256"]:
            raise Damaged(f"{_file(split, kind)} has another SHA-256 than when it was written")
        mapped.append(array)
    return tuple(mapped)


def dataset_of(name: str, content: dict, read) -> Dataset:
    """Build the Dataset that a manifest's content describes; `read` is of Dataset."""
    return Dataset(
        name=name,
        class_names=tuple(content["class_names"]),
        mean=tuple(content["mean"]),
        std=tuple(content["std"]),
        sizes={split: content["arrays"][split]["labels"]["shape"][0] for split in SPLITS},
        fingerprint=content["fingerprint"],
        read=read,
    )


def in_memory(name: str, class_names: tuple, splits: dict) -> Dataset:
    """Make a Dataset of arrays: {"train" and "test": (uint8 [N, S, S, 3], int32 [N])}."""
    described = {
        split: {"images": describe(images), "labels": describe(labels)}
        for split, (images, labels) in splits.items()
    }
    mean, std = mean_and_std(name, splits["train"][0])
    return Dataset(
        name=name,
        class_names=class_names,
        mean=mean,
        std=std,
        sizes={split: len(labels) for split, (_, labels) in splits.items()},
        fingerprint=fingerprint(described),
        read=splits.__getitem__,
    )


def describe(array: np.ndarray) -> dict:
    """Describe an array as the manifest does: shape, type and SHA-256 of its data."""
    return {"shape": list(array.shape), "dtype": str(array.dtype), "sha256": digest(array)}


def digest(array: np.ndarray) -> str:
    """Return the SHA-256, in hex, of an array's bytes in C order."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def fingerprint(arrays: dict) -> str:
    """Return one SHA-256 for images and labels of all splits: that of their SHA-256s in a fixed order."""
    digests = [arrays[split][kind]["sha256"] for split in SPLITS for kind in KINDS]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def temporary_folder(parent: Path):
    """Make a folder in `parent` (so that a rename out of it is atomic) that is gone on every exit."""
    return tempfile.TemporaryDirectory(
        prefix=".cifar_jax_incomplete_", dir=parent, ignore_cleanup_errors=True
    )


def swap_in(new: Path, final: Path, old: Path) -> None:
    """Put `new` at `final`. A folder cannot be renamed over a full one, so that one moves away."""
    with contextlib.suppress(FileNotFoundError):
        os.rename(final, old)
    try:
        os.rename(new, final)
    except OSError:
        # Another process that decoded the same set came first: its cache is as good as ours.
        if not (final / folders.CACHE_MARK).is_file():
            raise


def _write_split(folder, split, count, examples, num_classes, size) -> dict:
    """Write one split as it is decoded, without holding it in memory."""
    images = np.lib.format.open_memmap(
        folder / _file(split, "images"), "w+", np.uint8, (count, size, size, 3)
    )
    labels = np.zeros(count, np.int32)
    done = 0
    for image, label in examples:
        if done == count or not 0 <= label < num_classes:
            break
        images[done], labels[done] = image, label
        done += 1
    else:
        if done == count:
            images.flush()
            np.save(folder / _file(split, "labels"), labels)
            return {"images": describe(images), "labels": describe(labels)}
    raise DataError(
        f"The prepared set's split '{split}' does not hold {count} examples with labels below "
        f"{num_classes} (stopped at example {done}). Remove the prepared set and prepare it again."
    )


def _open(folder: Path, split: str, kind: str, entry: dict) -> np.ndarray:
    try:
        array = np.load(folder / _file(split, kind), mmap_mode="r", allow_pickle=False)
    except Exception as error:  # A damaged header, Python source, raises any of many types.
        raise Damaged(f"{_file(split, kind)} cannot be read ({error})") from error
    if list(array.shape) != entry["shape"] or str(array.dtype) != entry["dtype"]:
        raise Damaged(f"{_file(split, kind)} has another shape or type than the manifest says")
    return array


def _file(split: str, kind: str) -> str:
    return f"{split}_{kind}.npy"


def _content_digest(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
