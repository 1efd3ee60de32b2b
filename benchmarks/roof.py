"""What the machine can do at best: the roofs that achieved speeds are held against."""

import time


def best(function, *arguments, seconds=2.0):
    """Least seconds of a call, over about so many seconds."""
    import jax

    jax.block_until_ready(function(*arguments))
    least, stop = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < stop:
        started = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        least = min(least, time.perf_counter() - started)
    return least


def measure(dtype="float32", size=None):
    """{"matmul_gflops", "bandwidth_gb_per_s"}: of a square matrix product, and of adding two large arrays."""
    import jax
    import jax.numpy as jnp

    cpu = jax.default_backend() == "cpu"
    size = size or (2048 if cpu else 8192)
    matrix = jnp.ones((size, size), dtype)
    product = best(jax.jit(jnp.matmul), matrix, matrix)
    count = 64 * 2**20 if cpu else 2**30
    array = jnp.ones(count, jnp.float32)
    added = best(jax.jit(lambda x, y: x + y, donate_argnums=()), array, array)
    return {
        "matmul_gflops": 2 * size**3 / product / 1e9,
        "bandwidth_gb_per_s": 12 * count / added / 1e9,
    }
