"""Timing by a clock of our own."""

import itertools

from cifar_jax.analysis import result


def test_the_median_of_the_calls_after_the_first():
    now, durations = [0.0], itertools.chain([9.0, 1.0, 5.0, 3.0], itertools.repeat(3.0))

    def call():
        now[0] += next(durations)
        return ()

    speed = result.time_calls(call, 6, clock=lambda: now[0])
    assert speed == {"batch": 6, "milliseconds": 3000, "images_per_second": 2, "calls": 5}


def test_fast_calls_are_repeated_at_most_so_often():
    now = [0.0]

    def call():
        now[0] += 1e-6
        return ()

    assert result.time_calls(call, 1, clock=lambda: now[0])["calls"] == result.MOST_CALLS
