"""A tree of arrays in two numbers a leaf: its norm, and its product with a random vector of unit deviation.

Golden files hold these. An array that differs from the recorded one by a part e of its norm differs in
the second number by about that, and so does one whose elements are in another order.
"""

import jax
import numpy as np

ROW = 4096


def digest(tree):
    """float64 [leaves, 2]."""
    rng = np.random.default_rng(1)
    across, down = rng.normal(size=ROW), rng.normal(size=2**16)

    def numbers(leaf):
        leaf = np.asarray(leaf, np.float64).ravel()
        rows = np.resize(leaf, (-(-leaf.size // ROW), ROW))
        rows.ravel()[leaf.size :] = 0
        # The random vector is a product of two, as drawing one for each leaf takes longer than the model.
        return np.linalg.norm(leaf), rows @ across @ down[: len(rows)]

    return np.array([numbers(leaf) for leaf in jax.tree.leaves(tree)]).reshape(-1, 2)
