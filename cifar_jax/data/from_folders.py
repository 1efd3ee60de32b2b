"""The user's own pictures, a folder for each class, as a data set: decoded into a cache, one for each of its states."""

import collections
import dataclasses
import functools
import hashlib
import json
import math
import os
from pathlib import Path

import numpy as np

from cifar_jax.config import paths
from cifar_jax.console import progress
from cifar_jax.data import cache, class_folders, folders, image_files, images, pools
from cifar_jax.data.dataset import Dataset
from cifar_jax.errors import DataError

NAME = "folder"
UNREADABLE = "unreadable.txt"
DAMAGED = "The cache {} is damaged ({}); building it again."


def load(path, data_dir, max_unreadable, log, size=images.SIZE, fingerprint="") -> Dataset:
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
    with cache.scratch_folder(home) as scratch, open(scratch / "pictures", "w+b") as pictures:
        digests, rows, refused = _read_all(every, size, pictures)
        if refused:
            log(f"The first that can't be read is {refused[0]}")
        _check_share(root, len(refused), len(every), max_unreadable)
        splits, held_out = class_folders.divide(labelled, digests, log)
        splits = {split: [each for each in of if each[0] in rows] for split, of in splits.items()}
        division = _division(root, splits, held_out, digests)
        source = {"path": str(root), "files": seen, "count": len(every), "unreadable": len(refused)}
        examples = {
            split: (len(of), _examples(pictures, [(rows[file], label) for file, label in of], size))
            for split, of in splits.items()
        }
        facts = {"name": NAME, "class_names": names, "source": source | division}
        folder = cache.write(home, facts, examples, size)
    if refused:
        listed = "".join(f"{each}\n" for each in refused)
        (home / UNREADABLE).write_text(listed, encoding="utf-8", errors="backslashreplace")
        log(
            f"{len(refused):,} of {len(every):,} files can't be read; {home / UNREADABLE} lists them."
        )
    return cache.read_manifest(folder)


def _read_all(files, size, pictures):
    """Read every file once and write what is a picture into an open file, one after another.

    Which are equal, and so which split each belongs to, is known when all are read.

    Returns:
      ({file: SHA-256 of its content}, {file: row in `pictures`}, [Unreadable of the others]).
    """
    digests, rows, refused = {}, {}, []
    answers = pools.in_order(functools.partial(_read, size=size), files)
    with progress.counting("decoding", len(files)) as advance:
        for file, (digest, picture) in zip(files, answers, strict=True):
            advance()
            digests[file] = digest
            if isinstance(picture, image_files.Unreadable):
                refused.append(picture)
            else:
                rows[file] = len(rows)
                pictures.write(picture)
    return digests, rows, refused


def _read(file, size):
    """Return the SHA-256 of a file's content and its picture, or the Unreadable in the place of either."""
    try:
        content = image_files.content_of(file)
    except image_files.Unreadable as error:
        return f"unreadable: {file}", error
    digest = hashlib.sha256(content).hexdigest()
    try:
        return digest, images.fit(image_files.decoded(file, content), size)
    except image_files.Unreadable as error:
        return digest, error


def _division(root, splits, held_out, digests):
    """Return what the manifest says of how the training images are divided further: {"held_out", "equal"}.

    Raises:
      DataError: a part has no pictures.
    """
    training = [file for file, _ in splits["train"]]
    held = sum(file in held_out for file in training)
    left = {class_folders.TRAIN: len(training) - held, class_folders.TEST: len(splits["test"])}
    left |= {class_folders.VALIDATION: held} if held_out else {}
    for part, number in left.items():
        if not number:
            raise DataError(f"{root} has too few pictures: none is left for '{part}'")
    equal = collections.defaultdict(list)
    for row, file in enumerate(training):
        equal[digests[file]].append(row)
    return {"held_out": held, "equal": [each for each in equal.values() if len(each) > 1]}


def _examples(pictures, rows, size):
    """Yield (uint8 [S, S, 3], label) of some rows of a file of pictures, [(row, label)]."""
    shape = size, size, 3
    for row, label in rows:
        pictures.seek(row * math.prod(shape))
        picture = pictures.read(math.prod(shape))
        yield np.frombuffer(picture, np.uint8).reshape(shape), label
