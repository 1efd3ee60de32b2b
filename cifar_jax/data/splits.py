"""Split a training set in two, class by class."""

import numpy as np


def stratified_split(labels, fraction, seed) -> tuple[np.ndarray, np.ndarray]:
    """Draw `fraction` of every class for validation.

    Each class of n examples gives round(fraction * n) of them (Python's round: halves to even), so
    the validation set has the class balance of the whole. NumPy's Philox generator is used because
    its stream is fixed by NumPy's compatibility policy: one seed, one split, on every machine.

    Args:
      labels: integers [N].
      fraction: float in [0, 1]; 0 gives an empty validation set.
      seed: int >= 0.
    Returns:
      (train_indices, validation_indices): sorted int64 arrays, disjoint, together 0..N-1.
    Raises:
      ValueError: if `fraction` is outside [0, 1] or `labels` is not one-dimensional.

    Example:
      >>> train, validation = stratified_split([0, 0, 1, 1], 0.5, seed=0)
      >>> len(train), len(validation)
      (2, 2)
    """
    labels = np.asarray(labels)
    if labels.ndim != 1:
        raise ValueError(f"labels must have shape [N], not {list(labels.shape)}")
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction must be between 0 and 1, not {fraction}")
    keys = np.random.Generator(np.random.Philox(seed)).random(labels.size)
    chosen = np.zeros(labels.size, bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        # The smallest random keys of a class are a uniform draw without replacement.
        order = np.argsort(keys[members], kind="stable")
        chosen[members[order[: round(fraction * members.size)]]] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)
