"""How long a model takes for a batch."""

import statistics
import time

import jax

LEAST, MOST, SECONDS = 5, 200, 1.0


def measure(call, batch, clock=time.perf_counter):
    """Times repeated calls, after one that compiles and warms up.

    Args:
        call: () -> arrays of `batch` images' results; each is waited for.
        batch: images a call.
        clock: () -> seconds.
    Returns:
        dict: `batch`, `milliseconds` (median of the calls), `images_per_second` (at that median), `calls`: as
        many as a second holds, at least 5 and at most 200.
    """
    jax.block_until_ready(call())
    times, began = [], clock()
    while len(times) < LEAST or (clock() - began < SECONDS and len(times) < MOST):
        started = clock()
        jax.block_until_ready(call())
        times.append(clock() - started)
    median = statistics.median(times)
    return {
        "batch": batch,
        "milliseconds": 1000 * median,
        "images_per_second": batch / median,
        "calls": len(times),
    }
