"""Exponential moving average of the weights, free of bias."""

import math

import jax
import jax.numpy as jnp


def update(averaged, new, step, decay):
    """Return the average after a step: that of Adam's moments, sum of (1 - decay) decay^(t - i) x_i / (1 - decay^t).

    An average that starts from the initial weights holds decay^t of what is random; in a short
    training, or with a decay near 1, that is most of it. This one is the first step's weights after
    the first step, and what is kept can be used as it is at any time.

    Args:
        averaged: pytree, the average so far; without influence on step 1.
        new: pytree alike, of this step.
        step: int [], number of this step, from 1.
        decay: float in 0..1, exclusive; not a tracer.
    Returns:
        pytree.

    Polyak and Juditsky, Acceleration of Stochastic Approximation by Averaging, 1992;
    Kingma and Ba, Adam, 2015, section 3 for the bias.
    """
    share = (1 - decay) / -jnp.expm1(step * math.log(decay))
    return jax.tree.map(lambda a, x: (a + share * (x - a)).astype(a.dtype), averaged, new)
