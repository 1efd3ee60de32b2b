"""SHA-256 of what a checkpoint holds.

Orbax checks its own indices only: a flipped bit in an array, or in a number of its JSON, is restored without a word.
So a checkpoint carries the checksums that its parts had in memory.
"""

import dataclasses
import hashlib
import json

import jax
import numpy as np


def of_state(state):
    """{field: checksum of its arrays} of a dataclass of pytrees, such as TrainState.

    Every process of several must hold its arrays whole, as replicated ones are.
    """
    return {field.name: of_tree(getattr(state, field.name)) for field in dataclasses.fields(state)}


def of_tree(tree):
    """Of the types, shapes and bytes of a pytree's arrays: hex digits."""
    digest = hashlib.sha256()
    for leaf in map(np.asarray, jax.tree.leaves(tree)):
        digest.update(f"{leaf.dtype} {leaf.shape}".encode())
        digest.update(np.ascontiguousarray(leaf).data)
    return digest.hexdigest()


def of_json(value):
    """Of a JSON-able value, the same before and after it was written: hex digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def of_structure(tree):
    """Of the names, types and shapes of a pytree's arrays: hex digits."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return of_json([[jax.tree_util.keystr(p), str(x.dtype), list(x.shape)] for p, x in leaves])
