"""Measures of detection, against scikit-learn, pairs counted one by one, and sums done by hand."""

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from cifar_jax.analysis.ood import detection


def scores(n=60, m=40):
    rng = np.random.default_rng(0)
    # Rounded, so that scores tie within and between the sets.
    return np.round(rng.normal(1, 1, n), 1), np.round(rng.normal(0, 1, m), 1)


def test_areas_are_scikit_learns_and_those_of_counted_pairs():
    inside, outside = scores()
    measures = detection.detection(inside, outside)
    labels, values = np.r_[np.ones(60), np.zeros(40)], np.r_[inside, outside]
    assert measures.auroc == roc_auc_score(labels, values)
    assert measures.aupr_inside == average_precision_score(labels, values)
    assert measures.aupr_outside == average_precision_score(1 - labels, -values)
    above = inside[:, None] - outside
    assert measures.auroc == pytest.approx(np.mean((above > 0) + 0.5 * (above == 0)), abs=1e-12)


def test_areas_by_hand():
    # In descending order: in, out, in, out.
    measures = detection.detection([4.0, 2.0], [3.0, 1.0])
    assert measures.auroc == 3 / 4
    assert measures.aupr_inside == pytest.approx((1 + 2 / 3) / 2)
    assert measures.aupr_outside == pytest.approx((1 + 2 / 3) / 2)  # ascending: out, in, out, in
    # Unequal sets tell the two apart: descending in, out, in; ascending in, out, in.
    measures = detection.detection([3.0, 1.0], [2.0])
    assert measures.aupr_inside == pytest.approx((1 + 2 / 3) / 2)
    assert measures.aupr_outside == pytest.approx(1 / 2)


def test_turned_round_scores_are_the_worst():
    measures = detection.detection([0.0, 1.0], [2.0, 3.0])
    assert measures.auroc == 0 and measures.fpr95 == 1


def test_false_positives_where_95_percent_are_accepted():
    inside = np.arange(1.0, 21.0)  # 19 of 20 are at or above 2
    assert detection.fpr_at_tpr(inside, [0.0, 1.0, 1.9], 0.95) == 0
    assert detection.fpr_at_tpr(inside, [0.0, 2.0, 30.0, 1.0], 0.95) == 0.5
    assert detection.fpr_at_tpr(inside, [1.0, 0.5], 1.0) == 0.5
    # 0.95 * 60 is 57.00000000000001 or 56.99999999999999; 57 are to be accepted, from 4 on.
    assert detection.fpr_at_tpr(np.arange(1.0, 61.0), [3.0, 4.0], 0.95) == 0.5


def test_threshold_is_the_middle_of_the_gap():
    assert detection.best_threshold([4.0, 5.0], [1.0, 2.0]) == 3
    # Balanced: three of the many inside are worth less than one of two outside.
    inside = np.r_[np.zeros(3), np.full(7, 4.0)]
    assert detection.best_threshold(inside, [1.0, 2.0]) == 3


@pytest.mark.parametrize("turned", [False, True])
def test_no_threshold_is_better(turned):
    inside, outside = scores()[:: -1 if turned else 1]

    def balanced(threshold):
        decisions = detection.accuracy_at(inside, outside, threshold)
        return decisions.accepted_inside + 1 - decisions.accepted_outside

    best = balanced(detection.best_threshold(inside, outside))
    assert best == max(map(balanced, np.linspace(-4, 5, 181) + 0.025))


def test_neighbouring_floats_are_parted():
    one = 1.0
    above = np.nextafter(one, 2)
    threshold = detection.best_threshold([above], [one])
    assert detection.accuracy_at([above], [one], threshold).accuracy == 1


def test_scores_that_are_all_the_same_have_a_finite_threshold():
    threshold = detection.best_threshold([1.0, 1.0], [1.0])
    assert math.isfinite(threshold)
    assert detection.detection([1.0, 1.0], [1.0]).auroc == 0.5


def test_accuracy_counts_the_threshold_itself_as_accepted():
    decisions = detection.accuracy_at([0.32, 0.5, 0.1], [0.32, 0.0], 0.32)
    assert (decisions.n, decisions.threshold) == (5, 0.32)
    assert decisions.accuracy == 3 / 5
    assert decisions.accepted_inside == 2 / 3 and decisions.accepted_outside == 1 / 2


def test_accuracy_has_wilsons_interval():
    decisions = detection.accuracy_at(np.ones(90), np.ones(10), 1.0)
    ninety_of_a_hundred = pytest.approx((0.8256, 0.9448), abs=5e-5)
    assert (decisions.low, decisions.high) == ninety_of_a_hundred


@pytest.mark.parametrize(
    ("inside", "outside", "message"),
    [([], [1.0], "without images"), ([1.0], [], "without images"), ([1.0], [np.nan], "finite")],
)
def test_what_cannot_be_compared_is_refused(inside, outside, message):
    for function in (detection.detection, detection.best_threshold):
        with pytest.raises(ValueError, match=message):
            function(inside, outside)
    with pytest.raises(ValueError, match=message):
        detection.accuracy_at(inside, outside, 0.0)
