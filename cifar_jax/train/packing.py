"""The small arrays of a tree as one of each type, for a loop that carries the tree from turn to turn.

A GPU launches a kernel for each array that a step makes, and of a small net most are biases, scales and statistics: as
one array a single kernel makes them all. Kernels and other arrays of two axes and more stay as they are, since what
reads them, such as a convolution, would need each as an array of its own first; of a convolution's the outputs go
first, as cuDNN's have them, so that none is copied at each turn.
"""

import itertools
import math

import jax
import jax.numpy as jnp


def packing(tree):
    """Make (pack, unpack) for trees of the structure, shapes and types of `tree`.

    Args:
        tree: of arrays.
    Returns:
        pack: tree -> ({type: [n], all scalars and vectors of it}, the other arrays, a list).
        unpack: the same back, a tree.
    """
    leaves, structure = jax.tree.flatten(tree)
    types = [str(leaf.dtype) if leaf.ndim <= 1 else None for leaf in leaves]
    shapes = {}
    for leaf, kind in zip(leaves, types, strict=True):
        if kind:
            shapes.setdefault(kind, []).append(leaf.shape)

    def pack(tree):
        pairs = list(zip(structure.flatten_up_to(tree), types, strict=True))
        vectors = {
            each: jnp.concatenate([leaf.ravel() for leaf, kind in pairs if kind == each])
            for each in shapes
        }
        return vectors, [_outputs_first(leaf) for leaf, kind in pairs if not kind]

    def unpack(packed):
        vectors, others = packed
        parts = {None: map(_outputs_last, others)}
        for kind, each in shapes.items():
            ends = itertools.accumulate(map(math.prod, each))
            parts[kind] = map(jnp.reshape, jnp.split(vectors[kind], list(ends)[:-1]), each)
        return structure.unflatten([next(parts[kind]) for kind in types])

    return pack, unpack


def _outputs_first(array):
    return jnp.moveaxis(array, -1, 0) if array.ndim == 4 else array


def _outputs_last(array):
    return jnp.moveaxis(array, 0, -1) if array.ndim == 4 else array
