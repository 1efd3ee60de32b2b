"""From a name to arrays: find the cache, or decode the prepared set, or obtain the set first."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cifar_jax.data import cache, folders, provenance
from cifar_jax.data.archive import OFFICIAL
from cifar_jax.data.dataset import SPLITS, Dataset
from cifar_jax.errors import DataError


def load(name, data_dir, archive, log, fingerprint="") -> Dataset:
    """`cifar_jax.data.load` for all that is not embedded; documented there."""
    root = folders.data_root(data_dir)
    folder, content = _open(name, root, archive, log, bool(fingerprint))

    def read(split):
        try:
            return cache.read_split(folder, content, split)
        except cache.Damaged as damage:
            again, renewed = _renew(name, root, archive, folder, damage, log)
        if renewed["fingerprint"] != content["fingerprint"]:
            raise DataError(
                f"The data set '{name}' in {root} changed while it was in use. Start again."
            )
        return cache.read_split(again, renewed, split)

    return Dataset(
        name=name,
        class_names=tuple(content["class_names"]),
        mean=tuple(content["mean"]),
        std=tuple(content["std"]),
        sizes={split: content["arrays"][split]["labels"]["shape"][0] for split in SPLITS},
        fingerprint=content["fingerprint"],
        read=read,
    )


def _open(name: str, root: Path, archive: str, log, is_known: bool) -> tuple[Path, dict]:
    """The cache folder and its manifest's content, made where it is missing, stale or damaged.

    `is_known`: by its fingerprint, so that the archive need not vouch for it.
    """
    found = folders.find(root, name)
    if found is None:
        return _decode(name, _obtain(name, root, archive, log), log)
    if archive and not is_known:
        provenance.check(found, archive, name)
    if found.cache is None:
        return _decode(name, found, log)
    try:
        content = cache.read_manifest(found.cache)
        if found.prepared and content["source"]["prepared"] != _digest(found.prepared):
            raise cache.Damaged("it was decoded from another prepared set")
    except cache.Damaged as damage:
        return _renew(name, root, archive, found.cache, damage, log)
    return found.cache, content


def _renew(name: str, root: Path, archive: str, folder: Path, damage, log) -> tuple[Path, dict]:
    """Replace the cache in `folder`, which cannot be believed."""
    log(f"The cache {folder} is damaged ({damage}); building it again.")
    found = folders.find(root, name)
    if found is None or found.prepared is None:
        found = _obtain(name, root, archive, log)
    return _decode(name, found, log)


def _obtain(name: str, root: Path, archive: str, log) -> folders.Found:
    """Prepare the TFDS set, from the archive where one is given, else from the network."""
    from cifar_jax.data import from_archive, tfds

    if archive:
        if not Path(archive).expanduser().exists():
            raise DataError(
                f"The data set '{name}' is not in {root}, and the archive {archive} to prepare it from does not "
                f"exist. Give the folder that has the set, --data_dir DIR (in training --config.dataset.data_dir=DIR), "
                f"or the archive; {OFFICIAL}."
            )
        from_archive.prepare(archive, root, name, log)
    else:
        # Before a folder is chosen: a name that is wrong is wrong in any folder.
        tfds.builder(name, root)
        tfds.download(tfds.builder(name, folders.writable_root(root, log)), log)
    found = folders.find(root, name)
    if found is None or found.prepared is None:
        raise DataError(
            f"TensorFlow Datasets made no complete set of '{name}' in {root}. "
            f"Remove {root / name.partition(':')[0]} and try again."
        )
    return found


def _decode(name: str, found: folders.Found, log) -> tuple[Path, dict]:
    """Decode a prepared set into a cache, and read its manifest back."""
    from cifar_jax.data import tfds

    if found.home != found.prepared:
        log(f"{found.prepared} is not writable; decoding into {found.home} instead.")
    builder = tfds.prepared(found.prepared)
    examples = {split: tfds.examples(builder, split) for split in SPLITS}
    count = sum(number for number, _ in examples.values())
    log(f"Decoding {count:,} images of '{name}' into {found.home / folders.CACHE_NAME} (once).")
    facts = {
        "name": builder.name,
        "class_names": tfds.class_names(builder),
        "source": {
            "prepared": _digest(found.prepared),
            "version": found.version,
            "archive": provenance.recorded(found.prepared),
        },
    }
    folder = cache.write(found.home, facts, examples)
    return folder, cache.read_manifest(folder)


def _digest(prepared: Path) -> str:
    """Identifies a prepared set cheaply, by the file in which TFDS notes sizes and shards."""
    with (prepared / folders.PREPARED_MARK).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
