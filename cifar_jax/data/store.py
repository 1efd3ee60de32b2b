"""From a name to arrays: find the cache, or decode the prepared set, or obtain the set first."""

import hashlib
from pathlib import Path

from cifar_jax.data import cache, folders, from_archive, tfds
from cifar_jax.data.archive import OFFICIAL
from cifar_jax.data.dataset import SPLITS, Dataset
from cifar_jax.data.images import SIZE
from cifar_jax.errors import DataError

DAMAGED = "The cache {} is damaged ({}); building it again."


def load(name, data_dir, archive, log, fingerprint="", size=SIZE) -> Dataset:
    """Load all that is not embedded; documented at `cifar_jax.data.load`."""
    root = folders.data_root(data_dir)

    def decode(version):
        """Decode the set into a cache, after obtaining the set where no version of it is prepared."""
        if not (version and version.prepared):
            version = _obtain(name, root, archive, log)
        return _decode(name, version, size, log)

    def read(split):
        try:
            return cache.read_split(folder, content, split)
        except cache.Damaged as damage:
            log(DAMAGED.format(folder, damage))
        again, renewed = decode(folders.find(root, name, size))
        if renewed["fingerprint"] != content["fingerprint"]:
            raise DataError(
                f"The data set '{name}' in {root} changed while it was in use. Start again."
            )
        return cache.read_split(again, renewed, split)

    version = folders.find(root, name, size)
    # A fingerprint vouches for the set in place of the archive.
    if version and archive and not fingerprint:
        from_archive.check_source(version, archive, name)
    folder, content = _sound_cache(version, log) or decode(version)
    return cache.dataset_of(name, content, read)


def _sound_cache(version: folders.Version | None, log) -> tuple[Path, dict] | None:
    """Return the cache folder of a version and its manifest's content; None where there is none to believe."""
    if not (version and version.cache):
        return None
    try:
        content = cache.read_manifest(version.cache)
        if version.prepared and content["source"]["prepared"] != _digest(version.prepared):
            raise cache.Damaged("it was decoded from another prepared set")
    except cache.Damaged as damage:
        log(DAMAGED.format(version.cache, damage))
        return None
    return version.cache, content


def _obtain(name: str, root: Path, archive: str, log) -> folders.Version:
    """Prepare the TFDS set, from the archive where one is given, else from the network."""
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
    version = folders.find(root, name)
    if not (version and version.prepared):
        raise DataError(
            f"TensorFlow Datasets made no complete set of '{name}' in {root}. "
            f"Remove {root / name.partition(':')[0]} and try again."
        )
    return version


def _decode(name: str, version: folders.Version, size: int, log) -> tuple[Path, dict]:
    """Decode a prepared set into a cache, and read its manifest back."""
    if version.home != version.prepared:
        log(f"{version.prepared} is not writable; decoding into {version.home} instead.")
    builder = tfds.prepared(version.prepared)
    examples = {split: tfds.examples(builder, split, size) for split in SPLITS}
    count = sum(number for number, _ in examples.values())
    log(
        f"Decoding {count:,} images of '{name}' into {version.home / folders.cache_name(size)} (once)."
    )
    facts = {
        "name": builder.name,
        "class_names": tfds.class_names(builder),
        "source": {
            "prepared": _digest(version.prepared),
            "version": version.number,
            "archive": from_archive.noted(version.prepared),
        },
    }
    folder = cache.write(version.home, facts, examples, size=size)
    return folder, cache.read_manifest(folder)


def _digest(prepared: Path) -> str:
    """Identify a prepared set cheaply, by the file in which TFDS notes sizes and shards."""
    with (prepared / folders.PREPARED_MARK).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
