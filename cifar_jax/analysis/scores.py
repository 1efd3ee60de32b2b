"""How often a classifier is right, and what it takes for what: pure functions of labels and logits."""

import numpy as np
from scipy import special, stats


def probabilities(logits):
    """Softmax, float64 [N, C], of logits [N, C]."""
    return special.softmax(np.asarray(logits, np.float64), axis=-1)


def cross_entropy(labels, logits):
    """Mean cross entropy in nats, computed in float64.

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
    """The place of the true class, 0 where it is the answer; of equal logits the lower class goes first.

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
    """int64 [true class, predicted class] of labels and predictions, int [N]."""
    found = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(found, (labels, predicted), 1)
    return found


def interval(hits, count, level=0.95):
    """Wilson's score interval of a share; it stays within 0 and 1, for few images too.

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
    found = stats.binomtest(int(hits), int(count)).proportion_ci(level, method="wilson")
    return float(found.low), float(found.high)


def confused_pairs(confusion, most=10):
    """What is most often taken for what, by the share of the true class's images, then by their number.

    Args:
        confusion: int [true class, predicted class].
        most: how many pairs at most.
    Returns:
        list of (true class, predicted class, images, fraction of the true class's images); none is empty.
    """
    of = confusion.sum(axis=1)
    wrong = confusion - np.diag(np.diagonal(confusion))
    pairs = [
        (int(true), int(predicted), int(wrong[true, predicted]), wrong[true, predicted] / of[true])
        for true, predicted in zip(*np.nonzero(wrong), strict=True)
    ]
    pairs.sort(key=lambda pair: (-pair[3], -pair[2], pair[:2]))
    return [(*pair[:3], float(pair[3])) for pair in pairs[:most]]
