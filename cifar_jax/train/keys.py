"""JAX's random keys in a form that compiles fast on the CPU: the same keys, the same bits.

For a CPU JAX writes its hash as a loop within the program, of several kernels for each draw and each derived key. Here
it is written out, one kernel a draw, as JAX itself does for accelerators: resnet18_dw draws 22 parameters, and so
derives 22 keys.

Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3, SC 2011.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import random

ROTATIONS = (13, 15, 26, 6), (17, 29, 16, 24)
PARITY = np.uint32(0x1BD11BDA)


def fast(key):
    """Return a key, uint32 [2] as of jax.random.PRNGKey, as one that gives the same bits: a key array []."""
    return jax.random.wrap_key_data(key, impl=THREEFRY)


@jax.jit
def threefry(key, x, y):
    """Hash the counters x, y, uint32 of one shape, by Threefry 2x32 with 20 rounds: two uint32 arrays of that shape."""
    words = key[0], key[1], key[0] ^ key[1] ^ PARITY
    x, y = x + words[0], y + words[1]
    for turn in range(5):
        for distance in ROTATIONS[turn % 2]:
            x = x + y
            y = x ^ ((y << np.uint32(distance)) | (y >> np.uint32(32 - distance)))
        x, y = x + words[(turn + 1) % 3], y + words[(turn + 2) % 3] + np.uint32(turn + 1)
    return x, y


def _counted(key, shape):
    """Hash the numbers 0, 1, ... of an array's elements, row by row."""
    numbers = lax.iota(np.uint32, math.prod(shape)).reshape(shape)
    return threefry(key, jnp.zeros_like(numbers), numbers)


def _seed(seed):
    return jax.random.key_data(jax.random.key(seed, impl="threefry2x32"))


def _split(key, shape):
    return jnp.stack(_counted(key, shape), axis=-1)


def _fold_in(key, data):
    data = jnp.asarray(data, np.uint32)
    return jnp.stack(threefry(key, jnp.zeros_like(data), data))


def _random_bits(key, bit_width, shape):
    high, low = _counted(key, shape)
    if bit_width == 64:
        return (high.astype(np.uint64) << np.uint64(32)) | low.astype(np.uint64)
    return (high ^ low).astype(f"uint{bit_width}")


THREEFRY = random.define_prng_impl(
    key_shape=(2,),
    seed=_seed,
    split=_split,
    random_bits=_random_bits,
    fold_in=_fold_in,
    name="threefry2x32_written_out",
)
