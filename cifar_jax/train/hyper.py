"""The numbers of a training that may be arrays: a sweep trains many values of them in one program."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from cifar_jax import models


class Hyperparameters(NamedTuple):
    """Numeric hyperparameters. They are part of TrainState, so that `vmap` maps over them.

    Whether there is momentum, weight decay or label smoothing at all is not read from here: it
    decides which program is compiled, and stands in steps.Recipe. So does whether the dropout rate
    is read from here: only in a sweep whose runs differ in it.
    """

    learning_rate: jax.Array  # float32 [], the base rate
    momentum: jax.Array  # float32 []
    weight_decay: jax.Array  # float32 []
    label_smoothing: jax.Array  # float32 []
    dropout: jax.Array  # float32 []


def make_hyper(learning_rate, momentum=0.0, weight_decay=0.0, label_smoothing=0.0, dropout=0.0):
    """Make a Hyperparameters of float32 arrays from numbers."""
    numbers = (learning_rate, momentum, weight_decay, label_smoothing, dropout)
    return Hyperparameters(*map(jnp.float32, numbers))


def dropout_rate(config):
    """Return the dropout rate of a checked config's model: the config's, or else the model's own; 0 without a layer."""
    own = models.lookup(config.model.name).dropout
    return (own if config.model.dropout is None else config.model.dropout) or 0.0


def from_config(config):
    """Return the Hyperparameters of a checked config."""
    return make_hyper(
        config.optimizer.learning_rate,
        config.optimizer.momentum,
        config.optimizer.weight_decay,
        config.loss.label_smoothing,
        dropout_rate(config),
    )
