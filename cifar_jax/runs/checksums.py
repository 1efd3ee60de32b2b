"""SHA-256 of what a checkpoint holds.

Orbax checks its own indices only: a flipped bit in an array, or in a number of its JSON, is restored without a word.
So a checkpoint carries the checksums that its parts had in memory. Once it was read back, a list of its files is put
beside them: a checkpoint that can't be read is damaged where its files are others, and only there.
"""

import dataclasses
import hashlib
import json
import pathlib

import jax
import numpy as np

from cifar_jax.machine import files

LIST = "cifar_jax_files.json"
# Files that can be seen to be damaged in a checkpoint without the list, as before it was read back.
JSON_FILES = ("_CHECKPOINT_METADATA", "metrics/metrics", "about/metadata", "record/metadata")


def of_state(state):
    """Compute {field: checksum of its arrays} of a dataclass of pytrees, such as TrainState.

    Every process of several must hold its arrays whole, as replicated ones are.
    """
    return {field.name: of_tree(getattr(state, field.name)) for field in dataclasses.fields(state)}


def of_tree(tree):
    """Digest the types, shapes and bytes of a pytree's arrays: hex digits."""
    digest = hashlib.sha256()
    for leaf in map(np.asarray, jax.tree.leaves(tree)):
        digest.update(f"{leaf.dtype} {leaf.shape}".encode())
        digest.update(np.ascontiguousarray(leaf).data)
    return digest.hexdigest()


def of_json(value):
    """Digest a JSON-able value, the same before and after it was written: hex digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def of_structure(tree):
    """Digest the names, types and shapes of a pytree's arrays: hex digits."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return of_json([[jax.tree_util.keystr(p), str(x.dtype), list(x.shape)] for p, x in leaves])


def write_list(folder):
    """Write a list of a checkpoint's files, their sizes and checksums, into its folder.

    Raises:
        OSError: it can't be written.
    """
    folder = pathlib.Path(folder)
    listed = {
        str(path.relative_to(folder)): [path.stat().st_size, _of_file(path)]
        for path in sorted(folder.rglob("*"))
        # Hidden ones are of the system, which takes them away again, or partial.
        if path.is_file() and path.name != LIST and not path.name.startswith(".")
    }
    files.write_json(folder / LIST, {"files": listed, "sha256": of_json(listed)})


def has_list(folder):
    """Return whether a checkpoint has a list of its files that can be believed."""
    return _listed(pathlib.Path(folder)) is not None


def wrong_file(folder):
    """Say which of a checkpoint's files is shown to be other than it was written, and how; "" where none is."""
    folder = pathlib.Path(folder)
    if (listed := _listed(folder)) is None:
        return next((f"{name} is no JSON" for name in JSON_FILES if _is_no_json(folder / name)), "")
    for name, (size, digest) in listed.items():
        path = folder / name
        try:
            if not path.is_file():
                path.stat()  # where only the right to look is lacking nothing is shown
                return f"{name} is no file"
            if (length := path.stat().st_size) != size:
                return f"{name} is {'shorter' if length < size else 'longer'} than it was written"
            if _of_file(path) != digest:
                return f"{name} has other bytes than were written"
        except (FileNotFoundError, NotADirectoryError):
            return f"{name} is missing"
        except OSError:
            continue
    return ""


def _listed(folder):
    """Read {file: (size, checksum)}; None where there is no list, or a damaged one."""
    try:
        content = json.loads((folder / LIST).read_text())
        return content["files"] if content["sha256"] == of_json(content["files"]) else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _of_file(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_no_json(path):
    try:
        json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        return isinstance(error, ValueError)
    return False
