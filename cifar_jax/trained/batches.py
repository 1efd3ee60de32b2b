"""A compiled function over any number of images: all batches have one size, so that one program does."""

import jax
import numpy as np


def apply_batched(step, batch_size, *arrays):
    """Apply a step to all images.

    Args:
        step: arrays [batch_size, ...] -> pytree of arrays [batch_size, ...].
        batch_size: of each call; the last image fills up the last batch.
        arrays: [N, ...] each, N at least one.
    Returns:
        the step's pytree of NumPy arrays [N, ...].
    """
    count, batches = len(arrays[0]), []
    for start in range(0, count, batch_size):
        places = np.minimum(np.arange(start, start + batch_size), count - 1)
        outputs = step(*(array[places] for array in arrays))
        batches.append(jax.tree.map(lambda leaf, n=count - start: np.asarray(leaf)[:n], outputs))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *batches)
