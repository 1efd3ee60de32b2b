"""The user's own pictures, a folder for each class, as a data set: decoded into a cache, one for each of its states."""

import collections
import dataclasses
import functools
import hashlib
import json
import os
from pathlib import Path

from cifar_jax.config import paths
from cifar_jax.console import progress
from cifar_jax.data import cache, class_folders, folders, image_files, pools
from cifar_jax.data.dataset import SPLITS, Dataset
from cifar_jax.data.images import SIZE
from cifar_jax.errors import DataError

NAME = "folder"
UNREADABLE = "unreadable.txt"
DAMAGED = "The cache {} is damaged ({}); building it again."


def load(path, data_dir, max_unreadable, log, size=SIZE, fingerprint="") -> Dataset:
    """Load a folder of class folders, decoding it first where no cache is of the files that lie there now.

    Args:
      path: the folder. Where it is gone, its newest cache stands for it.
      data_dir: as of `cifar_jax.data.load`; the caches lie there.
      max_unreadable: the share of files that may be no pictures; they are listed beside the cache.
      log: called with one line for each thing that takes time or is out of the ordinary.
      size: of the images, pixels.
      fingerprint: of the set that a run was trained on, "" for none: its cache is taken, whatever lies in the folder.
    Raises:
      DataError: as of class_folders.find; too many files that can't be read; or the cache would lie in the folder.
    """
    if not path:
        raise DataError("The data set 'folder' is in a folder: give dataset.path.")
    root = Path(paths.local(path)).expanduser().absolute()
    known = _caches(root, data_dir, size, log)  # the newest last
    own = [each for each, content in known.items() if _fingerprint(content) == fingerprint]
    if own or (known and not root.exists()):
        folder = (own or list(known))[-1]
        if not root.exists():
            log(f"{root} is gone; its decoded images are used.")
    else:
        parts, left_out = class_folders.find(root)
        seen = class_folders.seen(root, parts)
        same = [each for each, content in known.items() if content["source"]["files"] == seen]
        if known and not same:
            before = list(known.values())[-1]["source"]["files"]
            log(f"{root} has changed ({class_folders.difference(before, seen)}).")
        if not same:
            home = _home(root, data_dir, seen, log)
            folder = home / folders.cache_name(size)
            known[folder] = _decode(root, home, parts, left_out, seen, max_unreadable, size, log)
        else:
            folder = same[-1]
    content = known[folder]
    _check_share(root, content["source"]["unreadable"], content["source"]["count"], max_unreadable)

    def read(split):
        try:
            return cache.read_split(folder, content, split)
        except cache.Damaged as damage:
            log(DAMAGED.format(folder, damage))
        parts, left_out = class_folders.find(root)
        seen = class_folders.seen(root, parts)
        home = _home(root, data_dir, seen, log)
        again = _decode(root, home, parts, left_out, seen, max_unreadable, size, log)
        if _fingerprint(again) != _fingerprint(content):
            raise DataError(f"The pictures in {root} changed while they were in use. Start again.")
        return cache.read_split(home / folders.cache_name(size), again, split)

    return dataclasses.replace(
        cache.dataset_of(NAME, content, read),
        fingerprint=_fingerprint(content),
        held_out=content["source"]["held_out"],
        groups=tuple(map(tuple, content["source"]["equal"])),
    )


def _fingerprint(content):
    """Return the fingerprint of the arrays, and of how they are divided where the folder has a say in that."""
    division = content["source"]["held_out"], content["source"]["equal"]
    if not any(division):
        return content["fingerprint"]
    return hashlib.sha256(json.dumps([content["fingerprint"], division]).encode()).hexdigest()


def _places(root, data_dir):
    """Return where caches of a folder may lie: in the data folder, or in what stands in for it."""
    digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    data_root = folders.data_root(data_dir)
    return [each / NAME / digest for each in (data_root, folders.fallback_root(data_root))]


def _home(root, data_dir, seen, log):
    """Return the folder that a cache of such files is written into."""
    own, other = _places(root, data_dir)
    place = own if folders.writable_root(folders.data_root(data_dir), log) in own.parents else other
    if place.is_relative_to(root):
        raise DataError(f"The data folder {place} lies in {root}: give another, dataset.data_dir")
    return place / hashlib.sha256(json.dumps(seen).encode()).hexdigest()[:16]


def _caches(root, data_dir, size, log):
    """Return the caches of a folder that can be believed, the newest last: {cache's folder: manifest's content}."""
    marks = [
        mark
        for place in _places(root, data_dir)
        for mark in place.glob(f"*/{folders.cache_name(size)}/{folders.CACHE_MARK}")
    ]
    contents = {}
    for mark in sorted(marks, key=lambda mark: (mark.stat().st_mtime_ns, mark)):
        try:
            contents[mark.parent] = cache.read_manifest(mark.parent)
        except cache.Damaged as damage:
            log(DAMAGED.format(mark.parent, damage))
    return contents


def _check_share(root, unreadable, count, most):
    if unreadable > most * count:
        raise DataError(
            f"{unreadable:,} of {count:,} files in {root} can't be read, more than the share of "
            f"dataset.max_unreadable, {most:g}"
        )


def _decode(root, home, parts, left_out, seen, max_unreadable, size, log):
    """Decode the pictures into the cache and return its manifest's content."""
    names = list(next(iter(parts.values())))
    labelled = {
        part: [(file, names.index(name)) for name, files in of.items() for file in files]
        for part, of in parts.items()
    }
    every = [file for each in labelled.values() for file, _ in each]
    classes = f"{len(names)} classes ({class_folders.few(names)})"
    log(f"Decoding {len(every):,} pictures in {classes} of {root} into {home} (once).")
    if left_out:
        log(f"{root}: {image_files.said_of(left_out)}")
    digests = dict(zip(every, pools.in_order(_digest, every), strict=True))
    splits, held_out = class_folders.divide(labelled, digests, log)
    refused, written = [], {split: [] for split in SPLITS}
    with progress.counting("decoding", len(every)) as advance:

        def examples(split):
            read = functools.partial(image_files.try_read, size=size)
            pictures = pools.in_order(read, [file for file, _ in splits[split]])
            for (file, label), picture in zip(splits[split], pictures, strict=True):
                advance()
                if isinstance(picture, image_files.Unreadable):
                    refused.append(picture)
                    continue
                written[split].append(file)
                yield picture, label

        def known_then():
            """Say what is known once all is decoded, or refuse it."""
            if refused:
                log(f"The first that can't be read is {refused[0]}")
            _check_share(root, len(refused), len(every), max_unreadable)
            rows = collections.defaultdict(list)
            for row, file in enumerate(written["train"]):
                rows[digests[file]].append(row)
            held = sum(file in held_out for file in written["train"])
            left = {"train": len(written["train"]) - held, "test": len(written["test"])}
            left |= {class_folders.VALIDATION: held} if held_out else {}
            for part, number in left.items():
                if not number:
                    raise DataError(f"{root} has too few pictures: none is left for '{part}'")
            return {
                "source": {
                    "path": str(root),
                    "files": seen,
                    "count": len(every),
                    "unreadable": len(refused),
                    "held_out": held,
                    "equal": [each for each in rows.values() if len(each) > 1],
                }
            }

        facts = {"name": NAME, "class_names": names}
        pairs = {split: (len(splits[split]), examples(split)) for split in SPLITS}
        folder = cache.write(home, facts, pairs, known_then, size)
    if refused:
        listed = "".join(f"{each}\n" for each in refused)
        (home / UNREADABLE).write_text(listed, encoding="utf-8", errors="backslashreplace")
        log(
            f"{len(refused):,} of {len(every):,} files can't be read; {home / UNREADABLE} lists them."
        )
    return cache.read_manifest(folder)


def _digest(file):
    """Return the SHA-256 of a file's content; something of its own for one that can't be read."""
    try:
        image_files.check_file(Path(file))
        with open(file, "rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except (OSError, image_files.Unreadable):
        return f"unreadable: {file}"
