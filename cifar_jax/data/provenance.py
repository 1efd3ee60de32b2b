"""Which archive a prepared set was made from, so that one is never taken for another."""

from __future__ import annotations

import json
from pathlib import Path

from cifar_jax.data import archive as archives
from cifar_jax.data import folders
from cifar_jax.data.layouts import TFDS_SHA256
from cifar_jax.errors import DataError

FILE = "cifar_jax_source.json"


def record(prepared: Path, archive) -> None:
    """Note the archive's SHA-256 in the prepared set's folder, where TFDS ignores it."""
    note = {"archive": Path(archive).name, "sha256": archives.digest(archive)}
    (prepared / FILE).write_text(json.dumps(note, indent=1))


def recorded(folder: Path) -> str:
    """The SHA-256 noted in a version folder; "" if the set was not made from an archive here."""
    try:
        return str(json.loads((folder / FILE).read_text())["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def check(found: folders.Found, archive, name: str) -> None:
    """Refuse a set on disk that was not made from `archive`.

    A set without a note is TFDS's own download, which TFDS makes from the official binary archive.

    Raises:
      DataError: if it was made from another source, or there is no such archive.
    """
    made_from = _source(found) or TFDS_SHA256.get(name, "a download")
    given = archives.digest(archive, name)
    if given != made_from:
        raise DataError(
            f"The set '{name}' in {found.prepared or found.cache} was not made from {archive}: its "
            f"source has the SHA-256 {made_from[:16]}..., the archive {given[:16]}... To use the "
            "set on disk, leave the archive out; to use the archive, give another "
            "--config.dataset.data_dir=DIR or remove that folder."
        )


def _source(found: folders.Found) -> str:
    if found.prepared:
        return recorded(found.prepared)
    try:
        manifest = json.loads((found.cache / folders.CACHE_MARK).read_text())
        return str(manifest["content"]["source"]["archive"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
