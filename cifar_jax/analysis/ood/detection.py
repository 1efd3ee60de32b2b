"""Measures of how well a score tells images of the distribution from others: pure functions of both sets' scores.

`inside` are the scores of in-distribution images, `outside` of the others; greater = more in-distribution.
An image is accepted, taken for in-distribution, where its score is at or above the threshold.
"""

from typing import NamedTuple

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from cifar_jax.analysis.scores import interval

LEVEL = 0.95  # of the intervals


class Accuracy(NamedTuple):
    """Decisions at one threshold."""

    threshold: float
    n: int  # images of both kinds
    accuracy: float  # share of n that is decided rightly, in [0, 1]
    low: float  # of Wilson's interval at LEVEL
    high: float
    accepted_inside: float  # share of the in-distribution images that is accepted
    accepted_outside: float  # share of the others that is accepted


class Detection(NamedTuple):
    """Measures that need no threshold of one's own; all in [0, 1]."""

    auroc: float
    aupr_inside: float
    aupr_outside: float
    fpr95: float


def detection(inside, outside):
    """Compute all measures without a chosen threshold.

    Args:
        inside, outside: float [N], [M].
    Returns:
        Detection.
    Raises:
        ValueError: an empty set, or scores that are not finite.
    """
    labels, scores = _joined(inside, outside)
    return Detection(
        auroc=float(roc_auc_score(labels, scores)),
        aupr_inside=float(average_precision_score(labels, scores)),
        aupr_outside=float(average_precision_score(1 - labels, -scores)),
        fpr95=fpr_at_tpr(inside, outside, 0.95),
    )


def fpr_at_tpr(inside, outside, tpr):
    """Return the share of the others accepted at the highest threshold that accepts `tpr` of the inside.

    Args:
        inside, outside: float [N], [M].
        tpr: share in (0, 1].
    Returns:
        float in [0, 1].
    Raises:
        ValueError: as `detection`.

    Hendrycks and Gimpel, A Baseline for Detecting Misclassified and Out-of-Distribution Examples in Neural
    Networks, 2017, https://arxiv.org/abs/1610.02136; at 95 %: Liang et al., ODIN, 2018, https://arxiv.org/abs/1706.02690
    """
    fpr, recall, _ = roc_curve(*_joined(inside, outside), drop_intermediate=False)
    # 0.95 * 60 is a little more than 57 in binary.
    return float(fpr[np.searchsorted(recall, tpr - 1e-9)])


def best_threshold(inside, outside):
    """Choose the threshold with the greatest balanced accuracy, however many images either set has.

    The threshold lies halfway between two neighbouring scores, which is the middle of the gap where there is one.
    Of several that are as good the lowest is taken.

    Args:
        inside, outside: float [N], [M].
    Returns:
        float.
    Raises:
        ValueError: as `detection`.

    Youden, Index for Rating Diagnostic Tests, 1950
    """
    _, scores = _joined(inside, outside)
    values = np.unique(scores)
    below, above = values[:-1], values[1:]
    middle = below + (above - below) / 2
    # Between two floats without one in between, the upper one divides.
    middle = np.where(middle > below, middle, above)
    candidates = np.concatenate([values[:1], middle, [np.nextafter(values[-1], np.inf)]])
    rejected_inside = np.searchsorted(np.sort(inside), candidates) / len(inside)
    rejected_outside = np.searchsorted(np.sort(outside), candidates) / len(outside)
    return float(candidates[np.argmax(rejected_outside - rejected_inside)])


def accuracy_at(inside, outside, threshold):
    """Decide every image and count.

    Args:
        inside, outside: float [N], [M].
        threshold: float.
    Returns:
        Accuracy.
    Raises:
        ValueError: as `detection`.
    """
    _joined(inside, outside)
    accepted, wrong = np.asarray(inside) >= threshold, np.asarray(outside) >= threshold
    n, correct = len(accepted) + len(wrong), int(accepted.sum() + (~wrong).sum())
    low, high = interval(correct, n, LEVEL)
    return Accuracy(
        float(threshold), n, correct / n, low, high, float(accepted.mean()), float(wrong.mean())
    )


def _joined(inside, outside):
    """Join both sets as (1 for inside and 0 for outside, scores), [N + M] each."""
    inside, outside = np.asarray(inside, float), np.asarray(outside, float)
    if not (len(inside) and len(outside)):
        raise ValueError("a set without images can't be told from another")
    scores = np.concatenate([inside, outside])
    if not np.isfinite(scores).all():
        raise ValueError("scores that are not finite can't be ordered")
    return np.repeat([1, 0], [len(inside), len(outside)]), scores
