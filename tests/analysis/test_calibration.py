"""Reliability and calibration error, against a plain loop."""

import math

import numpy as np
import pytest

from cifar_jax.analysis import scores


def by_loop(confidences, correct, bins):
    """Guo et al., equation 3, word for word."""
    confidences = [float(each) for each in confidences]
    edges, error = np.linspace(0, 1, bins + 1), 0.0
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        inside = [i for i, each in enumerate(confidences) if low < each <= high]
        if inside:
            accuracy = sum(correct[i] for i in inside) / len(inside)
            confidence = sum(confidences[i] for i in inside) / len(inside)
            error += len(inside) / len(confidences) * abs(accuracy - confidence)
    return error


@pytest.mark.parametrize("bins", [1, 10, 15])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_calibration_error_is_that_of_a_plain_loop(bins, dtype):
    random = np.random.default_rng(0)
    confidences = random.uniform(0.1, 1, 500).astype(dtype)
    confidences[:5] = np.linspace(0, 1, 6)[1:]  # on the edges of ten bins
    correct = random.uniform(size=500) < confidences**2
    binned = scores.reliability(confidences, correct, bins)
    expected = by_loop(confidences, correct, bins)
    assert scores.expected_calibration_error(binned) == pytest.approx(expected, rel=1e-9)
    assert binned.images.sum() == 500 and binned.hits.sum() == correct.sum()


def test_a_bin_by_hand():
    bins = scores.reliability(np.array([0.5, 0.9, 1.0, 1.0]), [True, True, True, False], 2)
    assert bins.images.tolist() == [1, 3] and bins.hits.tolist() == [1, 2]
    assert bins.low.tolist() == [0, 0.5] and bins.high.tolist() == [0.5, 1]
    np.testing.assert_allclose(bins.confidence, [0.5, 2.9 / 3])
    # (1 |1 - 0.5| + 3 |2/3 - 2.9/3|) / 4
    assert scores.expected_calibration_error(bins) == pytest.approx(0.35)


def test_empty_bins_and_no_images():
    bins = scores.reliability(np.array([1.0 + 1e-7]), [True])
    assert bins.images.tolist() == [0] * 14 + [1] and np.isnan(bins.accuracy[:14]).all()
    none = scores.reliability(np.zeros(0), [])
    assert math.isnan(scores.expected_calibration_error(none))
