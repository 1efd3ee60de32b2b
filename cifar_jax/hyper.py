"""The numbers of a training that may be arrays: a sweep trains many values of them in one program."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Hyper(NamedTuple):
    """Numeric hyperparameters. They are part of TrainState, so that `vmap` maps over them.

    Whether there is momentum, weight decay or label smoothing at all is not read from here: it
    decides which program is compiled, and stands in steps.Recipe.
    """

    learning_rate: jax.Array  # float32 [], the base rate
    momentum: jax.Array  # float32 []
    weight_decay: jax.Array  # float32 []
    label_smoothing: jax.Array  # float32 []


def make_hyper(learning_rate, momentum=0.0, weight_decay=0.0, label_smoothing=0.0):
    """A Hyper of float32 arrays from numbers."""
    return Hyper(*map(jnp.float32, (learning_rate, momentum, weight_decay, label_smoothing)))


def from_config(config):
    """The Hyper of a checked config."""
    return make_hyper(
        config.optimizer.learning_rate,
        config.optimizer.momentum,
        config.optimizer.weight_decay,
        config.loss.label_smoothing,
    )
