"""Against scipy.stats, and against the formulas by hand."""

import numpy as np
import pytest
from scipy import stats

from cifar_jax.analysis import statistics

A, B = [71.2, 70.1, 72.5, 71.9], [70.0, 70.3, 71.1, 70.2]


def test_the_interval_is_students():
    estimate = statistics.estimate(A)
    low, high = stats.t.interval(0.95, 3, np.mean(A), stats.sem(A))
    assert estimate == (
        4,
        np.mean(A),
        pytest.approx(np.std(A, ddof=1)),
        *map(pytest.approx, (low, high)),
    )
    # Three values: t(2) = 4.302653 at 95 %.
    three = statistics.estimate([1.0, 2.0, 3.0])
    assert three.high - three.mean == pytest.approx(4.302653 / np.sqrt(3), rel=1e-6)
    assert statistics.estimate(A, level=0.5).high < estimate.high


def test_one_value_has_no_interval():
    assert statistics.estimate([3.0]) == (1, 3.0, None, None, None)
    assert statistics.compare([3.0], [1.0]) == ((1, 2.0, None, None, None), None)
    with pytest.raises(ValueError, match="no values"):
        statistics.estimate([])


def test_an_interval_in_per_cent_ends_where_per_cent_do():
    assert statistics.estimate_percent([50.0, 60.0])[3:] == (0.0, 100.0)
    assert statistics.estimate_percent([70.0, 70.5, 71.0]) == statistics.estimate(
        [70.0, 70.5, 71.0]
    )
    assert statistics.estimate_percent([3.0]) == statistics.estimate([3.0])


def test_the_comparison_is_the_paired_t_test():
    comparison, expected = statistics.compare(A, B), stats.ttest_rel(A, B)
    assert comparison.p == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    assert (comparison.difference.low, comparison.difference.high) == pytest.approx(tuple(interval))
    assert statistics.compare(B, A).p == pytest.approx(comparison.p)


def test_differences_without_spread():
    assert statistics.compare([1.0, 2.0], [1.0, 2.0]).p == 1.0
    assert statistics.compare([2.0, 3.0], [1.0, 2.0]).p == 0.0


def test_unequal_numbers_are_no_pairs():
    with pytest.raises(ValueError, match="can't be paired"):
        statistics.compare([1.0, 2.0], [1.0])


def test_holm_by_hand():
    # Ascending: 0.01 * 4, 0.02 * 3, 0.03 * 2 = 0.06, 0.04 * 1 raised to the 0.06 before it.
    assert statistics.holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert statistics.holm([0.6, 0.9]) == [1.0, 1.0]
    assert statistics.holm([0.03]) == [0.03]
    assert statistics.holm([]) == []
