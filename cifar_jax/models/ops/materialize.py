"""Arrays that XLA's CPU compiler is to keep in memory.

The compiler computes what is elementwise again for each operation that reads it, fused into that one, also across an
optimization barrier, and may so normalise and rectify a batch of feature maps in the order in which a transposition
reads it. Each of these functions gives x, [..., C] of floats, as an array that is written once.
"""

import jax
import jax.numpy as jnp
from jax import lax


@jax.custom_jvp
def materialize_once(x):
    """Keep x for a convolution or a product that reads it beside another reader; costs next to nothing.

    XLA repeats for another reader no operation that has two inputs of its output's size and a reader that it can't
    be fused into. So this is x where it equals itself and NaN elsewhere, as part of what computes x.
    """
    return jnp.where(x == x, x, jnp.nan)


@materialize_once.defjvp
def _(primals, tangents):
    return materialize_once(*primals), *tangents


def materialize(x):
    """Keep x for whatever reads it, at the price of a matrix product with the identity."""
    channels = x.shape[-1]
    identity = jnp.eye(channels, dtype=x.dtype)
    product = jnp.matmul(x.reshape(-1, channels), identity, precision=lax.Precision.HIGHEST)
    return product.reshape(x.shape)
