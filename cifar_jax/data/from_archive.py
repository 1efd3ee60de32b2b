"""CIFAR-10 and CIFAR-100 as TFDS sets from an official archive, without network."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from cifar_jax.data import archive as archives
from cifar_jax.data import cache, folders, provenance
from cifar_jax.data.layouts import TFDS_SHA256
from cifar_jax.errors import DataError


def prepare(archive, root: Path, name: str, log) -> str:
    """Make the TFDS set of an archive, complete or not at all.

    Args:
      archive: path of an archive or of the folder it extracts to.
      root: the TFDS data folder.
      name: "cifar10" or "cifar100", or "" to see it from the archive.
      log: called with one line for each step.

    Returns:
      The data set's name.

    Raises:
      DataError: if the archive is bad or of another set, or the set is there from another archive.
    """
    if name not in ("", *TFDS_SHA256):
        raise DataError(
            f"'{name}' is not made from a CIFAR archive; only {' and '.join(TFDS_SHA256)} are. "
            "Leave dataset.archive empty."
        )
    log(f"Reading {archive}.")
    records = archives.read(archive, name, log)
    found = folders.find(root, records.name)
    if found and found.prepared:
        provenance.check(found, archive, records.name)
        log(f"{found.prepared} is already made from this archive.")
        return records.name
    root = folders.writable_root(root, log)
    try:
        _write(records, archive, root, log)
    except OSError as error:
        raise DataError(
            f"Could not write the set into {root}: {error}. Free some space there, or choose "
            "another folder with --data_dir (in a config: dataset.data_dir)."
        ) from error
    return records.name


def _write(records, archive, root: Path, log) -> None:
    """Prepare in a temporary folder and move the complete set into place in one rename."""
    from cifar_jax.data import writer

    root.mkdir(parents=True, exist_ok=True)
    with cache.temporary_folder(root) as scratch:
        sizes = " and ".join(f"{len(pair[1]):,} {split}" for split, pair in records.splits.items())
        log(f"Writing the TFDS set '{records.name}' with {sizes} images into {root}.")
        made = writer.write(records, scratch)
        provenance.record(made, archive)
        final = root / made.relative_to(scratch)
        if (final / folders.PREPARED_MARK).is_file():
            return  # Another process that prepares the same set came first.
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.exists():
            # Not a prepared set, or it would have been found: what an interrupted program left.
            shutil.move(final, scratch / "old")
        os.rename(made, final)
