"""Pictures of the user's own, a folder for each class, as a data set.

    PATH/train/CLASS/..., PATH/val/CLASS/..., PATH/test/CLASS/...      `val` and `test` where they are there
    PATH/CLASS/...                                                     divided here

Classes are the folders' names in order. A class has the pictures at any depth of its folder that `image_files.find`
takes: names that begin with a dot and links to folders are passed over. Without a `test`, a fifth of each class
becomes the test set, the same for all seeds; pictures whose files are equal are never divided.
"""

import collections
import concurrent.futures
import hashlib
import itertools
import os
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from cifar_jax.config import paths
from cifar_jax.data import cache, folders, image_files
from cifar_jax.data.dataset import SPLITS, Dataset, stratified_split
from cifar_jax.errors import DataError

NAME = "folder"
TRAIN, VALIDATION, TEST = "train", "val", "test"
TEST_FRACTION = 0.2
# A constant, never the run's seed: the test set must be the same in every run.
TEST_SEED = 0
UNREADABLE = "unreadable.txt"
DAMAGED = "The cache {} is damaged ({}); building it again."


def load(path, data_dir, max_unreadable, log) -> Dataset:
    """Load a folder of class folders, decoding it first where its cache is not of the files that lie there now.

    Args:
      path: the folder. Where it is gone, its cache stands for it.
      data_dir: as of `cifar_jax.data.load`; the cache lies there.
      max_unreadable: the share of files that may be no pictures; they are listed beside the cache.
      log: called with one line for each thing that takes time or is out of the ordinary.
    Raises:
      DataError: no such folder, no classes, a class without pictures or in `test` only, or too many files that
        can't be read.
    """
    root = Path(paths.local(path)).expanduser().absolute()
    home = _home(root, data_dir, log)
    folder = home / folders.CACHE_NAME

    def decode():
        return _decode(root, home, *_listing(root), max_unreadable, log)

    def read(split):
        try:
            return cache.read_split(folder, content, split)
        except cache.Damaged as damage:
            log(DAMAGED.format(folder, damage))
        if decode()["fingerprint"] != content["fingerprint"]:
            raise DataError(f"The pictures in {root} changed while they were in use. Start again.")
        return cache.read_split(folder, content, split)

    content = _manifest(folder, log)
    if content and not root.exists():
        log(f"{root} is gone; its decoded images in {home} are used.")
    else:
        *_, seen = _listing(root)
        if content and content["source"]["files"] != seen:
            log(f"{root} has changed ({_difference(content['source']['files'], seen)}).")
            content = None
        content = content or decode()
    return Dataset(
        name=NAME,
        class_names=tuple(content["class_names"]),
        mean=tuple(content["mean"]),
        std=tuple(content["std"]),
        sizes={split: content["arrays"][split]["labels"]["shape"][0] for split in SPLITS},
        fingerprint=content["fingerprint"],
        read=read,
        held_out=content["source"]["held_out"],
        groups=tuple(map(tuple, content["source"]["equal"])),
    )


def _listing(root):
    """Return what `find_parts` does, and of each part what tells its files from changed ones: [path, size, time]."""
    parts, left_out = find_parts(root)
    seen = {
        part: [_seen(root, file) for files in pictures.values() for file in files]
        for part, pictures in parts.items()
    }
    return parts, left_out, seen


def find_parts(root) -> tuple[dict, collections.Counter]:
    """Find the pictures: {"train": {class: [files]}, ...}, of the parts that are there, or {"": ...} of all together.

    Returns:
      (the pictures, how many of each kind were left out, as image_files.find counts them).
    Raises:
      DataError: as of `load`.
    """
    if not root.is_dir():
        raise DataError(
            f"dataset.path={root}: {'a file' if root.exists() else 'there is no such'} folder"
        )
    divided = {each: root / each for each in (TRAIN, VALIDATION, TEST) if (root / each).is_dir()}
    divided = divided if TRAIN in divided and _class_folders(root / TRAIN) else {"": root}
    left_out = collections.Counter()
    parts = {part: _pictures(folder, left_out) for part, folder in divided.items()}
    classes = next(iter(parts.values()))
    if len(classes) < 2:
        raise DataError(
            f"{root} has {len(classes)} class folders, and a classifier takes two or more: "
            "PATH/CLASS/picture.jpg, or PATH/train/CLASS/picture.jpg"
        )
    for part, pictures in parts.items():
        if unknown := sorted(set(pictures) - set(classes)):
            raise DataError(f"{root / part} has classes that {TRAIN} has not: {_few(unknown)}")
        if empty := [name for name, files in pictures.items() if not files and part in ("", TRAIN)]:
            raise DataError(f"{root / part} has class folders without pictures: {_few(empty)}")
    return parts, left_out


def _class_folders(folder):
    return sorted(
        each.name
        for each in folder.iterdir()
        if each.is_dir() and not each.is_symlink() and not each.name.startswith(".")
    )


def _pictures(folder, left_out):
    """Return the pictures in each class folder, {class: [files]}, and count in `left_out` what is beside them."""
    pictures = {}
    left_out["links to folders"] += sum(e.is_symlink() and e.is_dir() for e in folder.iterdir())
    for name in _class_folders(folder):
        files, refused, others = image_files.find(folder / name)
        left_out += others
        unreadable = [each for each in refused if each.path != str(folder / name)]
        if unreadable:
            raise DataError(str(unreadable[0]))
        pictures[name] = files
    return pictures


def _few(names, most=5):
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def _home(root, data_dir, log):
    """Return the folder of the cache: one for each path, in the data folder or what stands in for it."""
    digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    own = folders.data_root(data_dir) / NAME / digest
    if (own / folders.CACHE_NAME / folders.CACHE_MARK).is_file():
        return own
    return folders.writable_root(folders.data_root(data_dir), log) / NAME / digest


def _manifest(folder, log):
    """Return the content of a cache's manifest; None where there is none to believe."""
    if not (folder / folders.CACHE_MARK).is_file():
        return None
    try:
        return cache.read_manifest(folder)
    except cache.Damaged as damage:
        log(DAMAGED.format(folder, damage))
        return None


def _seen(root, file):
    """Return what tells a file from a changed one without reading it: its path, size and time."""
    status = os.stat(file)
    return [os.path.relpath(file, root), status.st_size, status.st_mtime_ns]


def _difference(before, now):
    """Say in words how the files differ: "2 new, 1 gone, 3 changed"."""
    old, new = (
        {each[0]: each[1:] for part in of.values() for each in part} for of in (before, now)
    )
    counts = {
        "new": len(new.keys() - old.keys()),
        "gone": len(old.keys() - new.keys()),
        "changed": sum(new[name] != old[name] for name in new.keys() & old.keys()),
    }
    return ", ".join(f"{number:,} {word}" for word, number in counts.items() if number) or "order"


def _decode(root, home, parts, left_out, seen, max_unreadable, log):
    """Decode the pictures into the cache and return its manifest's content."""
    names = list(next(iter(parts.values())))
    labelled = {
        part: [(file, names.index(name)) for name, files in of.items() for file in files]
        for part, of in parts.items()
    }
    count = sum(map(len, labelled.values()))
    log(f"Decoding {count:,} pictures in {len(names)} classes of {root} into {home} (once).")
    if +left_out:
        log(f"{root}: {image_files.said_of(+left_out)}")
    every = [file for each in labelled.values() for file, _ in each]
    digests = dict(zip(every, in_threads(_digest, every), strict=True))
    splits, held_out = _divide(root, labelled, digests, log)
    refused, written = [], {split: [] for split in SPLITS}
    with Progress(transient=True, disable=not Console().is_terminal) as bar:
        task = bar.add_task("decoding", total=count)

        def examples(split):
            pictures = in_threads(_picture, [file for file, _ in splits[split]])
            for (file, label), picture in zip(splits[split], pictures, strict=True):
                bar.advance(task)
                if isinstance(picture, image_files.Unreadable):
                    refused.append(picture)
                    continue
                written[split].append(file)
                yield picture, label

        def known_then():
            if len(refused) > max_unreadable * count:
                raise DataError(
                    f"{len(refused):,} of {count:,} files in {root} can't be read, more than dataset.max_unreadable="
                    f"{max_unreadable:g} of them; the first: {refused[0]}"
                )
            rows = collections.defaultdict(list)
            for row, file in enumerate(written["train"]):
                rows[digests[file]].append(row)
            equal = [each for each in rows.values() if len(each) > 1]
            held = sum(file in held_out for file in written["train"])
            for split, files in written.items():
                if len(files) == (held if split == "train" else 0):
                    raise DataError(
                        f"{root} has too few pictures: none is left for the split '{split}'"
                    )
            return {"source": {"path": str(root), "files": seen, "held_out": held, "equal": equal}}

        facts = {"name": NAME, "class_names": names}
        pairs = {split: (len(splits[split]), examples(split)) for split in SPLITS}
        folder = cache.write(home, facts, pairs, known_then)
    if refused:
        (home / UNREADABLE).write_text("".join(f"{each}\n" for each in refused))
        log(f"{len(refused):,} of {count:,} files can't be read; {home / UNREADABLE} lists them.")
    return cache.read_manifest(folder)


def _divide(root, labelled, digests, log):
    """Divide the pictures: ({"train", "test": [(file, label)]}, the validation set's files, which train ends with)."""
    training = labelled.get(TRAIN, labelled.get(""))
    repeated = len(training) - len({digests[file] for file, _ in training})
    if repeated:
        log(
            f"{repeated:,} of {len(training):,} pictures are copies of others; none is divided from its copies."
        )
    if TEST in labelled:
        test = labelled[TEST]
        seen = {digests[file] for file, _ in training}
        if both := sum(digests[file] in seen for file, _ in test):
            log(f"{both:,} of {len(test):,} pictures in {root / TEST} are in {root / TRAIN} too.")
    else:
        first = {}
        for file, label in training:
            first.setdefault(digests[file], label)
        contents, labels = list(first), np.array(list(first.values()))
        _, chosen = stratified_split(labels, TEST_FRACTION, TEST_SEED)
        held = {contents[each] for each in chosen}
        test = [each for each in training if digests[each[0]] in held]
        training = [each for each in training if digests[each[0]] not in held]
        log(
            f"{len(test):,} of {len(test) + len(training):,} pictures are the test set, a fifth of each class."
        )
    validation = labelled.get(VALIDATION, [])
    return {"train": training + validation, "test": test}, {file for file, _ in validation}


def _digest(file):
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _picture(file):
    try:
        return image_files.read(file)
    except image_files.Unreadable as error:
        return error


def in_threads(function, items, ahead=8):
    """Yield function(item) of each item in order, computed in a thread a core, at most `ahead` for each in advance."""
    cores = os.cpu_count() or 1
    waiting, rest = collections.deque(), iter(items)
    with concurrent.futures.ThreadPoolExecutor(cores) as pool:
        for item in itertools.islice(rest, ahead * cores):
            waiting.append(pool.submit(function, item))
        while waiting:
            done = waiting.popleft().result()
            for item in itertools.islice(rest, 1):
                waiting.append(pool.submit(function, item))
            yield done
