"""CIFAR-10 and CIFAR-100 as TFDS sets from an official archive, without network.

The archive that a prepared set was made from is noted in the set, so that one is never taken for another.
"""

import contextlib
import io
import json
import os
from pathlib import Path

from cifar_jax.data import archive as archives
from cifar_jax.data import cache, folders, tfds
from cifar_jax.data.layouts import TFDS_SHA256
from cifar_jax.errors import DataError

NOTE = "cifar_jax_source.json"


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
    version = folders.find(root, records.name)
    if version and version.prepared:
        check_source(version, archive, records.name)
        log(f"{version.prepared} is already made from this archive.")
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


def check_source(version: folders.Version, archive, name: str) -> None:
    """Refuse a set on disk that was not made from `archive`.

    A set without a note is TFDS's own download, which TFDS makes from the official binary archive.

    Raises:
      DataError: if it was made from another source, or there is no such archive.
    """
    made_from = _source(version) or TFDS_SHA256.get(name, "a download")
    given = archives.digest(archive, name)
    if given != made_from:
        raise DataError(
            f"The set '{name}' in {version.prepared or version.cache} was not made from {archive}: its "
            f"source has the SHA-256 {made_from[:16]}..., the archive {given[:16]}... To use the "
            "set on disk, leave the archive out; to use the archive, give another "
            "--config.dataset.data_dir=DIR or remove that folder."
        )


def noted(folder: Path) -> str:
    """Return the SHA-256 noted in a version folder; "" if the set was not made from an archive here."""
    try:
        return str(json.loads((folder / NOTE).read_text())["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _source(version: folders.Version) -> str:
    if version.prepared:
        return noted(version.prepared)
    try:
        manifest = json.loads((version.cache / folders.CACHE_MARK).read_text())
        return str(manifest["content"]["source"]["archive"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _write(records, archive, root: Path, log) -> None:
    """Prepare in a temporary folder and move the complete set into place in one rename."""
    root.mkdir(parents=True, exist_ok=True)
    with cache.temporary_folder(root) as scratch:
        sizes = " and ".join(f"{len(pair[1]):,} {split}" for split, pair in records.splits.items())
        log(f"Writing the TFDS set '{records.name}' with {sizes} images into {root}.")
        prepared = _write_set(records, scratch)
        note = {"archive": Path(archive).name, "sha256": archives.digest(archive)}
        (prepared / NOTE).write_text(json.dumps(note, indent=1))
        final = root / prepared.relative_to(scratch)
        if (final / folders.PREPARED_MARK).is_file():
            return  # Another process that prepares the same set came first.
        final.parent.mkdir(parents=True, exist_ok=True)
        # A folder that is there is no prepared set: an interrupted program left it.
        cache.swap_in(prepared, final, Path(scratch, "old"))


def _write_set(records: archives.Records, root) -> Path:
    """Prepare cifar10 or cifar100 under `root` with TFDS's own builder, in ArrayRecord files.

    Only the source of the examples is replaced: names, features, version, keys and so the shuffled
    order are TFDS's, which shuffles by a hash of the key, the same everywhere. Images are encoded
    by Pillow, because TFDS would start TensorFlow for it; PNG is lossless, so the pixels are equal.

    Returns:
      The prepared folder, <root>/<name>/<version>.
    """
    from tensorflow_datasets import builder_cls

    parent = builder_cls(records.name)

    class FromRecords(parent, skip_registration=True):
        name = records.name
        # TFDS notes the module in the set and looks for a builder's data beside it.
        __module__ = parent.__module__

        def _split_generators(self, dl_manager):
            del dl_manager  # Nothing is downloaded.
            for key, names in records.label_names.items():
                self.info.features[key].names = names
            return {split: _examples(records, split) for split in records.splits}

    # TFDS would announce a download on one stream and draw progress bars on the other.
    silence = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    with silence[0], silence[1], tfds.tidied():
        builder = FromRecords(data_dir=os.fspath(root))
        builder.download_and_prepare(file_format="array_record")
    return Path(builder.data_dir)


def _examples(records: archives.Records, split: str):
    """Yield (key, example) pairs with the keys and ids of TFDS's CIFAR builder."""
    labels, pixels = records.splits[split]
    for index, image in enumerate(pixels):
        example = {key: int(values[index]) for key, values in labels.items()}
        yield index, {**example, "id": f"{split}_{index:05d}", "image": _png(image)}


def _png(image) -> io.BytesIO:
    """Encode uint8 [H, W, 3] as a PNG file."""
    from PIL import Image

    file = io.BytesIO()
    # The fastest level: 32 x 32 photographs hardly get smaller with more effort.
    Image.fromarray(image).save(file, format="png", compress_level=1)
    file.seek(0)
    return file
