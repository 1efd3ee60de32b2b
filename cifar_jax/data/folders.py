"""Where data sets lie on disk. Only paths here: nothing is read but directory listings."""

import dataclasses
import hashlib
import os
from pathlib import Path

from cifar_jax.config import paths
from cifar_jax.console import home
from cifar_jax.console.home import writable
from cifar_jax.data.images import SIZE

# What TFDS writes last into a prepared set, and what cache.py writes last into a cache.
PREPARED_MARK = "dataset_info.json"
CACHE_NAME = "cifar_jax_cache"  # of images of 32 x 32
CACHE_MARK = "manifest.json"


def cache_name(size) -> str:
    """Return the name of the cache of images of so many pixels a side."""
    return CACHE_NAME if size == SIZE else f"{CACHE_NAME}_{size}"


@dataclasses.dataclass(frozen=True)
class Version:
    """A version of a data set on disk.

    number: such as "3.0.2".
    prepared: the TFDS folder <root>/<name>/<version>, or None.
    cache: the folder of .npy files, or None.
    home: the version folder in which a cache may be written.
    """

    number: str
    prepared: Path | None
    cache: Path | None
    home: Path


def data_root(data_dir="") -> Path:
    """Return `data_dir`, else the environment's TFDS_DATA_DIR, else ~/tensorflow_datasets, which lies beside the
    caches of who has no home.

    Raises:
      UserError: for a URL such as gs://..., which cannot be memory mapped.
    """
    chosen = str(data_dir) or os.environ.get("TFDS_DATA_DIR", "")
    if not chosen:
        return (home.folder() or home.caches()).absolute() / "tensorflow_datasets"
    return Path(paths.local(chosen)).expanduser().absolute()


def fallback_root(root: Path) -> Path:
    """Return the user's own folder that stands in for a `root` that cannot be written.

    One per root, so that two data folders never share a cache.
    """
    base = home.caches().expanduser().absolute()
    return base / "cifar_jax" / "data" / hashlib.sha256(os.fsencode(root)).hexdigest()[:16]


def writable_root(root: Path, log) -> Path:
    """Return `root`, or its fallback where it cannot be written (said in one line)."""
    if writable(root):
        return root
    other = fallback_root(root)
    log(f"{root} is not writable; using {other} instead.")
    return other


def find(root: Path, name: str, size=SIZE) -> Version | None:
    """Find the newest version of `name` that is prepared or cached under `root` or its fallback.

    Args:
      root: a TFDS data folder.
      name: a TFDS name: "cifar10", "emnist/letters", "mnist:3.0.1".
      size: of the cached images.
    """
    base, _, wanted = name.partition(":")
    roots = (root, fallback_root(root))
    versions = {
        path.name
        for each in roots
        for path in (each / base).glob("*")
        if _order(path.name) and (wanted in ("", path.name))
    }
    for number in sorted(versions, key=_order, reverse=True):
        homes = [each / base / number for each in roots]
        caches = [home / cache_name(size) for home in homes]
        prepared = next((home for home in homes if (home / PREPARED_MARK).is_file()), None)
        cache = next((each for each in caches if (each / CACHE_MARK).is_file()), None)
        if prepared or cache:
            home = prepared or cache.parent
            return Version(number, prepared, cache, home if writable(home) else homes[1])
    return None


def _order(version: str) -> tuple[int, ...]:
    """Return (3, 0, 2) for "3.0.2"; () for what is no version."""
    parts = version.split(".")
    return tuple(map(int, parts)) if len(parts) == 3 and all(map(str.isdecimal, parts)) else ()
