"""Means, intervals and paired comparisons of few runs: pure functions of numbers."""

import math
from typing import NamedTuple

import numpy as np
from scipy import stats


class Estimate(NamedTuple):
    """A mean and how sure it is."""

    n: int
    mean: float
    std: float | None  # of the sample, with n - 1; None for n = 1
    low: float | None  # of the interval; None for n = 1
    high: float | None


def estimate(values, level=0.95):
    """Estimate a mean: with the standard deviation and Student's t interval, mean +- t(n - 1) s / sqrt(n).

    Args:
        values: numbers, at least one.
        level: of the interval.
    Returns:
        Estimate.
    Raises:
        ValueError: no values.

    Student, The Probable Error of a Mean, 1908, https://doi.org/10.1093/biomet/6.1.1
    """
    values = np.asarray(values, float)
    n = len(values)
    if not n:
        raise ValueError("no values to estimate a mean of")
    mean = float(values.mean())
    if n == 1:
        return Estimate(1, mean, None, None, None)
    std = float(values.std(ddof=1))
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * std / math.sqrt(n)
    return Estimate(n, mean, std, mean - half, mean + half)


def estimate_percent(values):
    """Do `estimate` of numbers of 0 to 100, an interval of which ends there, too."""
    return within(estimate(values), 0.0, 100.0)


def within(whole, least, greatest):
    """Return an Estimate whose interval ends where no value can be."""
    if whole.low is None:
        return whole
    return whole._replace(low=max(whole.low, least), high=min(whole.high, greatest))


class Comparison(NamedTuple):
    """A paired difference: its estimate and the p value of the two-sided t test that it is 0."""

    difference: Estimate
    p: float | None  # None for n = 1


def compare(values, baseline):
    """Compare values with a baseline by the paired t test, on their differences seed by seed.

    Args:
        values, baseline: numbers, as many of each, in the order of the seeds.
    Returns:
        Comparison; positive where `values` are greater. Differences that are all the same have
        p = 0, or 1 if they are 0.
    Raises:
        ValueError: not as many of each.
    """
    if len(values) != len(baseline):
        raise ValueError(f"{len(values)} values can't be paired with {len(baseline)}")
    difference = estimate(np.subtract(values, baseline, dtype=float))
    if difference.n == 1:
        return Comparison(difference, None)
    if difference.std == 0:
        return Comparison(difference, 1.0 if difference.mean == 0 else 0.0)
    t = difference.mean / (difference.std / math.sqrt(difference.n))
    return Comparison(difference, float(2 * stats.t.sf(abs(t), difference.n - 1)))


def holm(p_values):
    """Correct p values for their number: the chance of one false finding among all stays below each.

    In ascending order the i-th of m, from 0, is multiplied by m - i; none becomes less than the one
    before it, nor more than 1.

    Args:
        p_values: numbers, in any order.
    Returns:
        list of float, in that order.

    Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979, https://www.jstor.org/stable/4615733
    """
    corrected, greatest, m = [0.0] * len(p_values), 0.0, len(p_values)
    for i, index in enumerate(np.argsort(p_values, kind="stable")):
        greatest = max(greatest, min(1.0, (m - i) * float(p_values[index])))
        corrected[index] = greatest
    return corrected
