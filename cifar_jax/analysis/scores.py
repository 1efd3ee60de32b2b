"""Figures of a classifier: accuracy, confusion, calibration; pure functions of labels and logits."""

from typing import NamedTuple

import numpy as np
from scipy import special, stats

BINS = 15


def probabilities(logits):
    """Return the softmax, float64 [N, C], of logits [N, C]."""
    return special.softmax(np.asarray(logits, np.float64), axis=-1)


def cross_entropy(labels, logits):
    """Return the mean cross entropy in nats, computed in float64.

    Args:
        labels: int [N].
        logits: float [N, C].
    Returns:
        float; NaN for no images.
    """
    if not len(labels):
        return float("nan")
    log_probabilities = special.log_softmax(np.asarray(logits, np.float64), axis=-1)
    return float(-np.mean(log_probabilities[np.arange(len(labels)), labels]))


def ranks(labels, logits):
    """Rank the true class, 0 where it is the answer; of equal logits the lower class goes first.

    Args:
        labels: int [N].
        logits: float [N, C].
    Returns:
        int [N], from 0 to C - 1.
    """
    labels = np.asarray(labels)[:, None]
    own = np.take_along_axis(logits, labels, axis=1)
    before = (logits == own) & (np.arange(logits.shape[1]) < labels)
    return np.sum((logits > own) | before, axis=1)


def confusion_matrix(labels, predicted, num_classes):
    """Count images, int64 [true class, predicted class], of labels and predictions, int [N]."""
    confusion = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    return confusion


def interval(hits, count, level=0.95):
    """Return Wilson's score interval of a share; it stays within 0 and 1, for few images too.

    Args:
        hits, count: of images.
        level: of the interval.
    Returns:
        (low, high), fractions; None for no images.

    Wilson, Probable Inference, the Law of Succession, and Statistical Inference, 1927,
    https://doi.org/10.1080/01621459.1927.10502953
    """
    if not count:
        return None
    wilson = stats.binomtest(int(hits), int(count)).proportion_ci(level, method="wilson")
    return float(wilson.low), float(wilson.high)


def confused_pairs(confusion, most=10):
    """List the most frequent confusions, by the share of the true class's images, then by their number.

    Args:
        confusion: int [true class, predicted class].
        most: how many pairs at most.
    Returns:
        list of (true class, predicted class, images, fraction of the true class's images); none is empty.
    """
    of = confusion.sum(axis=1)
    wrong = confusion - np.diag(np.diagonal(confusion))
    pairs = [
        (int(true), int(predicted), int(wrong[true, predicted]), float(wrong[true, predicted] / of[true]))
        for true, predicted in zip(*np.nonzero(wrong), strict=True)
    ]  # fmt: skip
    return sorted(pairs, key=lambda pair: (-pair[3], -pair[2], pair[:2]))[:most]


class Reliability(NamedTuple):
    """Images by their confidence, the probability of the predicted class. Arrays, one entry a bin.

    A bin holds the confidences above its lower edge up to its upper one. An empty one has NaN.
    """

    low: np.ndarray  # edges
    high: np.ndarray
    images: np.ndarray
    hits: np.ndarray  # images that are right
    confidence: np.ndarray  # mean
    accuracy: np.ndarray


def reliability(confidences, correct, bins=BINS):
    """Count images in bins of equal width.

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
    numbers = np.clip(np.searchsorted(edges, confidences, side="left") - 1, 0, bins - 1)
    images = np.bincount(numbers, minlength=bins)
    hits = np.bincount(numbers, np.asarray(correct, float), minlength=bins).astype(int)
    summed = np.bincount(numbers, confidences, minlength=bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 of the empty
        return Reliability(edges[:-1], edges[1:], images, hits, summed / images, hits / images)


def expected_calibration_error(bins):
    """Return the mean gap between confidence and accuracy, over the images: a fraction.

    Args:
        bins: Reliability.
    Returns:
        float; NaN for no images.

    Guo et al., equation 3, https://arxiv.org/abs/1706.04599
    """
    filled = bins.images > 0
    gaps = np.abs(bins.accuracy - bins.confidence)[filled]
    return float(np.average(gaps, weights=bins.images[filled])) if filled.any() else float("nan")
