"""The models by name. Each is registered once, below, with the exact parameter count its report states."""

import difflib
import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from cifar_jax.errors import ConfigError
from cifar_jax.models.basic_net import BasicNet
from cifar_jax.models.resnet import ResNet


class Entry(NamedTuple):
    """A registered model: how to build it, and its number of parameters with 10 classes.

    `dropout` is the model's own rate, None where it has no dropout layer.
    """

    build: Callable[..., nn.Module]
    num_params: int
    dropout: float | None = None


REGISTRY = {
    "basic_net": Entry(BasicNet, 62_006),
    "resnet18": Entry(partial(ResNet, (2, 2, 2, 2)), 11_173_962, dropout=0.5),
    "resnet10": Entry(partial(ResNet, (1, 1, 1, 1)), 4_903_242, dropout=0.5),
    "resnet18_dw": Entry(partial(ResNet, (1, 1, 1, 1), separable=True), 722_186),
}


def names() -> list[str]:
    """The registered names, in the order of the registry."""
    return list(REGISTRY)


def create(name, num_classes=10, dtype=jnp.float32, dropout=None) -> nn.Module:
    """Builds a model: float images [B, 32, 32, 3], already normalised -> logits [B, num_classes].

    Args:
      name: one of `names()`.
      num_classes: width of the last layer.
      dtype: type to compute in. Parameters, batch statistics and logits are float32 (float64 for float64).
      dropout: rate in [0, 1) of the model's dropout layer; None takes the model's own.

    Returns:
      A Flax module. In training it updates `batch_stats` and, with dropout, draws from the "dropout" key:
      `module.apply(variables, images, train=True, rngs={"dropout": key}, mutable=["batch_stats"])`.

    Raises:
      ConfigError: unknown name, or a rate that is out of range or for a model without a dropout layer.
    """
    entry = _lookup(name)
    options = {"num_classes": num_classes, "dtype": dtype}
    if entry.dropout is not None:
        options["dropout"] = entry.dropout if dropout is None else _checked_rate(dropout)
    elif dropout:
        raise ConfigError(f"model {name!r} has no dropout layer, so no rate can be set: {dropout}")
    return entry.build(**options)


def count_params(name, num_classes=10) -> int:
    """Number of trainable parameters, found by tracing the initialisation without running it."""
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    variables = jax.eval_shape(create(name, num_classes).init, jax.random.key(0), images)
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables["params"]))


def _lookup(name) -> Entry:
    if name in REGISTRY:
        return REGISTRY[name]
    nearest = difflib.get_close_matches(str(name), REGISTRY) or names()
    raise ConfigError(f"unknown model {name!r}; did you mean {' or '.join(nearest)}?")


def _checked_rate(rate) -> float:
    if not 0 <= rate < 1:
        raise ConfigError(f"dropout must be in [0, 1), not {rate}")
    return float(rate)
