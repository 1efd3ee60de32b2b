"""Whether a classifier that says "90 %" is right nine times out of ten: pure functions."""

from typing import NamedTuple

import numpy as np

BINS = 15


class Reliability(NamedTuple):
    """Images by their confidence, the probability of the predicted class. Arrays, one entry a bin.

    A bin holds the confidences above its lower edge up to its upper one. An empty one has NaN.
    """

    low: np.ndarray  # edges
    high: np.ndarray
    count: np.ndarray  # images
    hits: np.ndarray  # images that are right
    confidence: np.ndarray  # mean
    accuracy: np.ndarray


def reliability(confidences, correct, bins=BINS):
    """Counts images in bins of equal width.

    Args:
        confidences: float [N], of 0 to 1.
        correct: bool [N].
        bins: how many.
    Returns:
        Reliability.

    Guo et al., On Calibration of Modern Neural Networks, 2017, equations 1 and 2, https://arxiv.org/abs/1706.04599
    """
    edges = np.linspace(0, 1, bins + 1)
    # A float32 softmax may end a little above 1.
    which = np.clip(np.searchsorted(edges, confidences, side="left") - 1, 0, bins - 1)
    count = np.bincount(which, minlength=bins)
    hits = np.bincount(which, np.asarray(correct, float), minlength=bins).astype(int)
    summed = np.bincount(which, confidences, minlength=bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 of the empty
        return Reliability(edges[:-1], edges[1:], count, hits, summed / count, hits / count)


def expected_calibration_error(found):
    """The mean gap between confidence and accuracy, over the images: a fraction.

    Args:
        found: Reliability.
    Returns:
        float; NaN for no images.

    Guo et al., equation 3, https://arxiv.org/abs/1706.04599
    """
    filled = found.count > 0
    gaps = np.abs(found.accuracy - found.confidence)[filled]
    return float(np.average(gaps, weights=found.count[filled])) if filled.any() else float("nan")
