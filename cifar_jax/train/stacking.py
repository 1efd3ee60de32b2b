"""Kernels as few stacks of matrices, so that airbench's Muon takes few products: a GPU launches a kernel for each."""

import math

import jax
import jax.numpy as jnp
from optax import contrib

# Of a stack [kernels, outputs, inputs], for optax.contrib.scale_by_muon.
OF_STACK = contrib.MuonDimensionNumbers(reduction_axis=2, output_axis=1)


def stacks(tree):
    """Stack the kernels that have as many outputs, shorter ones lengthened with zeros.

    The iteration leaves these zeros: products of a matrix X with itself, X X^T, don't see them, and those by X keep
    them. So the others become what they would alone, but for the order in which a product is summed.

    Args:
        tree: of kernels, [..., outputs].
    Returns:
        {outputs: [kernels, outputs, greatest number of inputs]}.
        What makes a tree like `tree` of such stacks.
    """
    leaves, structure = jax.tree.flatten(tree)
    groups = {}
    for place, leaf in enumerate(leaves):
        groups.setdefault(leaf.shape[-1], []).append(place)

    def stack(group):
        matrices = [_as_matrix(leaves[place]) for place in group]
        longest = max(matrix.shape[1] for matrix in matrices)
        return jnp.stack([jnp.pad(x, ((0, 0), (0, longest - x.shape[1]))) for x in matrices])

    def unstack(stacks):
        made = dict.fromkeys(range(len(leaves)))
        for outputs, group in groups.items():
            made |= zip(group, stacks[outputs], strict=True)
        return structure.unflatten(map(_as_kernel, made.values(), [leaf.shape for leaf in leaves]))

    return {outputs: stack(group) for outputs, group in groups.items()}, unstack


def _as_matrix(kernel):
    """Return [..., outputs] as [outputs, inputs]: the order in which a GPU's loop carries kernels, see `packing`."""
    return jnp.moveaxis(kernel, -1, 0).reshape(kernel.shape[-1], -1)


def _as_kernel(matrix, shape):
    *inputs, outputs = shape
    return jnp.moveaxis(matrix[:, : math.prod(inputs)].reshape(outputs, *inputs), 0, -1)
