"""Scores of labels and logits, against scikit-learn and by hand."""

import math

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from cifar_jax import metrics
from cifar_jax.analysis import scores


def drawn(num_classes=7, count=400, seed=0):
    """Labels and logits that are right now and then; the last class never occurs and is never said."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, num_classes - 1, count)
    logits = random.normal(size=(count, num_classes)).astype(np.float32)
    logits[np.arange(count), labels] += 1
    logits[:, -1] = -10
    return labels, logits


def test_confusion_loss_and_top_five_are_scikit_learns():
    labels, logits = drawn()
    classes = range(logits.shape[1])
    confusion = scores.confusion_matrix(labels, logits.argmax(1), len(classes))
    expected = sklearn.metrics.confusion_matrix(labels, logits.argmax(1), labels=classes)
    np.testing.assert_array_equal(confusion, expected)
    loss = sklearn.metrics.log_loss(labels, scores.probabilities(logits), labels=classes)
    assert scores.cross_entropy(labels, logits) == pytest.approx(loss, rel=1e-12)
    for k in (1, 3, 5):
        share = np.mean(scores.ranks(labels, logits) < k)
        assert share == sklearn.metrics.top_k_accuracy_score(labels, logits, k=k, labels=classes)


@pytest.mark.parametrize("average", [None, "macro", "weighted"])
def test_precision_recall_and_f1_are_scikit_learns(average):
    labels, logits = drawn()
    confusion = scores.confusion_matrix(labels, logits.argmax(1), logits.shape[1])
    ours = {None: metrics.by_class, "macro": metrics.macro, "weighted": metrics.weighted}[average]
    classes = range(logits.shape[1]) if average is None else None
    expected = sklearn.metrics.precision_recall_fscore_support(
        labels, logits.argmax(1), labels=classes, average=average, zero_division=0
    )
    measures = ours(confusion)
    for name, value in zip(("precision", "recall", "f1"), expected, strict=False):
        np.testing.assert_allclose(measures[name], value, rtol=1e-12)


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=8))
def test_rank_zero_is_the_answer_of_argmax_with_ties(rows):
    logits = np.array(rows, np.float32)
    for label in range(6):
        ranks = scores.ranks(np.full(len(logits), label), logits)
        np.testing.assert_array_equal(ranks == 0, logits.argmax(1) == label)
    every = [scores.ranks(np.full(len(logits), label), logits) for label in range(6)]
    np.testing.assert_array_equal(np.sort(every, axis=0), np.tile(np.arange(6)[:, None], len(rows)))


def test_wilsons_interval_by_hand():
    low, high = scores.interval(8, 10)
    z, p, n = 1.959963984540054, 0.8, 10
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert (low, high) == (pytest.approx(middle - half), pytest.approx(middle + half))
    assert scores.interval(10, 10)[1] == 1 and scores.interval(0, 10)[0] == 0
    assert scores.interval(0, 0) is None


def test_confused_pairs_are_in_order_of_their_share():
    confusion = np.array([[90, 9, 1], [2, 8, 0], [0, 0, 0]])
    assert scores.confused_pairs(confusion) == [(1, 0, 2, 0.2), (0, 1, 9, 0.09), (0, 2, 1, 0.01)]
    assert scores.confused_pairs(confusion, most=1) == [(1, 0, 2, 0.2)]
    assert scores.confused_pairs(np.diag([3, 4])) == []


def test_great_logits_have_a_finite_loss():
    assert scores.cross_entropy(np.array([0]), np.array([[-1e4, 1e4]])) == 2e4
    assert math.isnan(scores.cross_entropy(np.zeros(0, int), np.zeros((0, 3))))
