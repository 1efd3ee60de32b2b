"""Read the official CIFAR archives, in their binary and their Python form, packed or extracted.

Nothing is ever extracted to disk: the few files that matter are read into memory by name.
Formats: https://www.cs.toronto.edu/~kriz/cifar.html
"""

import contextlib
import dataclasses
import gzip
import hashlib
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from cifar_jax.data import pickles
from cifar_jax.data.images import SHAPE
from cifar_jax.data.layouts import LAYOUTS, PICKLED_LABELS, TOTALS, Layout
from cifar_jax.errors import DataError

PIXELS = int(np.prod(SHAPE))


OFFICIAL = "the official archives are at https://www.cs.toronto.edu/~kriz/cifar.html"
# Unpacked; the official archives have 186 MB at most.
MOST_BYTES = 500_000_000
REFUSED = f"It was refused; {OFFICIAL}."


@dataclasses.dataclass(frozen=True)
class Records:
    """The content of an archive.

    name: "cifar10" or "cifar100".
    label_names: {label key: names in the order of their numbers}.
    splits: {split: ({label key: uint8 [N]}, images uint8 [N, 32, 32, 3])}, in the official order.
    """

    name: str
    label_names: dict
    splits: dict


def read(path, name="", log=print) -> Records:
    """Read and check a whole archive.

    Args:
      path: a cifar-10/100 binary or python .tar.gz, or the folder it extracts to, or its parent.
      name: "cifar10" or "cifar100", or "" to take what is there.
      log: called with one line where the counts are not the official ones.
    Raises:
      DataError: naming the file and what is wrong with it.
    """
    layout, files = _files(Path(path).expanduser(), name)
    if name not in ("", layout.name):
        raise DataError(f"{path} holds {layout.name}, not {name}. Give the archive of {name}.")
    label_names = {key: _names(layout, files, key) for key in layout.label_keys}
    splits = {}
    for split, batches in layout.batches.items():
        parts = [_batch(layout, batch, files[batch]) for batch in batches]
        labels = np.concatenate([part[0] for part in parts])
        splits[split] = (
            {key: labels[:, column] for column, key in enumerate(layout.label_keys)},
            np.concatenate([part[1] for part in parts]),
        )
        if len(labels) != TOTALS[split]:
            log(
                f"{path} has {len(labels):,} {split} examples; "
                f"the official archive has {TOTALS[split]:,}."
            )
    return Records(layout.name, label_names, splits)


def digest(path, name="") -> str:
    """Return the SHA-256, in hex, of an archive: of the file, or of the batch files in a folder.

    Raises:
      DataError: if there is no such archive.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        folder, layout = _locate(path, name)
        total = hashlib.sha256()
        for file in layout.files:
            if (folder / file).is_file():
                total.update(file.encode() + _digest(folder / file))
        return total.hexdigest()
    if not path.is_file():
        raise DataError(f"The archive {path} does not exist; {OFFICIAL}.")
    return _digest(path).hex()


def _files(path: Path, name: str) -> tuple[Layout, dict[str, bytes]]:
    """Read an archive: its layout, and file name -> content."""
    if path.is_dir():
        folder, layout = _locate(path, name)
        present = [file for file in layout.files if (folder / file).is_file()]
        files = {file: _bytes(folder / file) for file in present}
    elif path.is_file():
        files = _unpack(path)
        layout = _layout(files)
        if layout is None:
            raise DataError(f"{path} holds no CIFAR-10 or CIFAR-100 batch; {OFFICIAL}.")
    else:
        raise DataError(f"The archive {path} does not exist; {OFFICIAL}.")
    for file in layout.files:
        if file not in files:
            raise DataError(f"{path} has no {layout.folder}/{file}. Get the archive again.")
    return layout, files


def _layout(names) -> Layout | None:
    """Return the layout of which most files are there; None if none is."""
    best = max(LAYOUTS, key=lambda layout: sum(name in names for name in layout.files))
    return best if any(name in names for name in best.files) else None


def _locate(path: Path, name: str) -> tuple[Path, Layout]:
    """Return the folder of batches that is `path` or lies in it, one of `name` before any other."""
    layouts = sorted(LAYOUTS, key=lambda layout: layout.name != name)
    for folder in (path, *(path / layout.folder for layout in layouts)):
        if folder.is_dir():
            layout = _layout({child.name for child in folder.iterdir()})
            if layout:
                return folder, layout
    raise DataError(f"The folder {path} holds no CIFAR-10 or CIFAR-100 batch; {OFFICIAL}.")


def _unpack(path: Path) -> dict[str, bytes]:
    """Read the batch files of a tar archive: file name -> content.

    No member is written anywhere, yet an archive with links or with paths that lead outside is not
    the official one, and is refused.
    """
    wanted = {file for layout in LAYOUTS for file in layout.files}
    with _opened(path) as file:
        gzipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        stream = _Bounded(path, gzip.GzipFile(fileobj=file) if gzipped else file)
        known = gzipped
        try:
            with tarfile.open(fileobj=stream, mode="r:") as tar:
                known = True
                files = dict(_members(path, tar, wanted))
                # tarfile stops at the end mark; gzip compares its checksum at the end of the stream.
                while stream.read(1 << 20):
                    pass
                return files
        except DataError:
            raise
        except Exception as error:  # damaged headers make tarfile raise many types
            if not known:
                raise DataError(f"{path} is not a .tar.gz archive; {OFFICIAL}.") from error
            raise DataError(f"{path} is truncated or damaged. Get it again; {OFFICIAL}.") from error


class _Bounded:
    """A stream that ends with a DataError past MOST_BYTES: a small file may unpack to terabytes."""

    def __init__(self, path, stream):
        self._path, self._stream, self.tell = path, stream, stream.tell

    def read(self, size):
        self._check(self.tell() + size if size > 1 << 20 else 0)
        data = self._stream.read(size)
        self._check(self.tell())
        return data

    def seek(self, position):
        self._check(position)
        return self._stream.seek(position)

    def _check(self, position):
        if position > MOST_BYTES:
            raise DataError(
                f"{self._path} unpacks to more than {MOST_BYTES // 10**6} MB, which no official archive does. {REFUSED}"
            )


def _members(path: Path, tar: tarfile.TarFile, wanted: set) -> Iterator[tuple[str, bytes]]:
    for member in tar:
        name = PurePosixPath(member.name)
        if name.is_absolute() or ".." in name.parts:
            raise DataError(f"{path} has a member outside its folder: {member.name}. {REFUSED}")
        if not (member.isfile() or member.isdir()):
            raise DataError(
                f"{path} has a member that is a link or device: {member.name}. {REFUSED}"
            )
        if member.isfile() and name.name in wanted:
            yield name.name, tar.extractfile(member).read()


def _batch(layout: Layout, name: str, data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Parse one batch file: (labels uint8 [N, L], images uint8 [N, 32, 32, 3])."""
    parse = _pickled_batch if layout.pickled else _binary_batch
    labels, pixels = parse(layout, name, data)
    for column, count in enumerate(layout.label_counts):
        if labels[:, column].max() >= count or labels[:, column].min() < 0:
            wrong = next(x for x in labels[:, column] if not 0 <= x < count)
            raise DataError(
                f"{name} has the {layout.label_keys[column]} {wrong}, but {layout.name} has only "
                f"0..{count - 1}. Get the archive again."
            )
    # A record is three planes, red, green, blue, each row by row.
    planes = pixels.reshape(-1, SHAPE[2], SHAPE[0], SHAPE[1])
    return labels.astype(np.uint8), planes.transpose(0, 2, 3, 1)


def _binary_batch(layout, name, data) -> tuple[np.ndarray, np.ndarray]:
    width = len(layout.label_keys) + PIXELS
    if not data or len(data) % width:
        raise DataError(
            f"{name} has {len(data):,} bytes, which is not a number of {width}-byte records. "
            "Get the archive again."
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, width)
    return records[:, : -PIXELS or None], records[:, -PIXELS:]


def _pickled_batch(layout, name, data) -> tuple[np.ndarray, np.ndarray]:
    content = pickles.loads(data, name)
    pixels = content.get("data")
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or not pixels.size:
        raise DataError(f"{name} has no uint8 array 'data'. Get the archive again.")
    if pixels.ndim != 2 or pixels.shape[1] != PIXELS:
        raise DataError(f"{name} has 'data' of shape {list(pixels.shape)}, not [N, {PIXELS}].")
    columns = []
    for key in layout.label_keys:
        pickled = PICKLED_LABELS[layout.name][key]
        values = content.get(pickled)
        listed = isinstance(values, list) or (isinstance(values, np.ndarray) and values.ndim == 1)
        if not listed or len(values) != len(pixels):
            raise DataError(f"{name} has no {len(pixels):,} '{pickled}'. Get the archive again.")
        if not all(isinstance(value, (int, np.integer)) for value in values):
            raise DataError(f"{name} has '{pickled}' that are not integers. Get the archive again.")
        # As Python integers: a wrong one may be of any size.
        columns.append(np.array([int(value) for value in values], object))
    return np.stack(columns, axis=1), pixels


def _names(layout: Layout, files: dict, key: str) -> list[str]:
    """Read the class names of a label, in the order of their numbers."""
    file, pickled = layout.names[key]
    if pickled:
        values = pickles.loads(files[file], file).get(pickled)
        values = values if isinstance(values, list) else []
        names = [n.decode("latin1") if isinstance(n, bytes) else n for n in values]
        names = [n for n in names if isinstance(n, str)]
    else:
        names = [name for name in files[file].decode("latin1").splitlines() if name.strip()]
    count = layout.label_counts[layout.label_keys.index(key)]
    if len(names) != count:
        raise DataError(f"{file} has {len(names)} class names, not {count}. Get the archive again.")
    return names


def _bytes(path: Path) -> bytes:
    with _opened(path) as file:
        return _Bounded(path, file).read(path.stat().st_size)


def _digest(path: Path) -> bytes:
    with _opened(path) as file:
        return hashlib.file_digest(file, "sha256").digest()


@contextlib.contextmanager
def _opened(path: Path):
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
