"""A tree of arrays in two numbers a leaf: its norm, and its product with a random vector of unit deviation.

Golden files hold these. An array that differs from the recorded one by a part e of its norm differs in
the second number by about that, and so does one whose elements are in another order.
"""

import jax
import numpy as np


def digest(tree):
    """float64 [leaves, 2]."""
    rng = np.random.default_rng(1)
    leaves = [np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(tree)]
    rows = [(np.linalg.norm(leaf), leaf @ rng.normal(size=leaf.size)) for leaf in leaves]
    return np.array(rows).reshape(-1, 2)
