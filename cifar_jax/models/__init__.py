"""The models by name. Each is registered once, below, with the exact parameter count its report states.

Three have no reported count, and theirs is ours: modified_net_separable, selective_kernel_net, big_net_improved;
big_net's is what the layers that its report states add up to.
"""

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
from cifar_jax.models.big_net import BigNet
from cifar_jax.models.layers import ACTIVATIONS
from cifar_jax.models.modified_net import ModifiedNet, OriginNet
from cifar_jax.models.plain_cnn import PlainCNN
from cifar_jax.models.resnet import ResNet
from cifar_jax.models.selective_kernel_net import SelectiveKernelNet
from cifar_jax.models.wide_net import WideNet


class Entry(NamedTuple):
    """A registered model: how to build it, and its number of parameters with 10 classes.

    `dropout` is the model's own rate, None where it has no dropout layer; `activation` is the name of the
    model's own, None where it leaves no choice.
    """

    build: Callable[..., nn.Module]
    num_params: int
    dropout: float | None = None
    activation: str | None = None


REGISTRY = {
    "plain_cnn": Entry(PlainCNN, 1_365_930, dropout=0.5, activation="leaky_relu"),
    "origin_net": Entry(OriginNet, 48_252),
    "modified_net": Entry(ModifiedNet, 35_730, dropout=0.5),
    "modified_net_separable": Entry(partial(ModifiedNet, separable=True), 46_768, dropout=0.5),
    "selective_kernel_net": Entry(SelectiveKernelNet, 2_277_436, dropout=0.5),
    "basic_net": Entry(BasicNet, 62_006),
    "wide_net": Entry(WideNet, 2_348_030),
    "gap_net": Entry(partial(WideNet, global_pool=True), 413_566, dropout=0.5),
    "attention_net": Entry(
        partial(WideNet, global_pool=True, attention=True), 521_646, dropout=0.5
    ),
    "resnet18": Entry(partial(ResNet, (2, 2, 2, 2)), 11_173_962, dropout=0.5),
    "resnet10": Entry(partial(ResNet, (1, 1, 1, 1)), 4_903_242, dropout=0.5),
    "resnet18_dw": Entry(partial(ResNet, (1, 1, 1, 1), separable=True), 722_186),
    "big_net": Entry(BigNet, 116_906, dropout=0.0),
    "big_net_improved": Entry(partial(BigNet, batch_norm=True), 117_034, dropout=0.2),
}


def names() -> list[str]:
    """The registered names, in the order of the registry."""
    return list(REGISTRY)


def create(name, num_classes=10, dtype=jnp.float32, dropout=None, *, activation=None) -> nn.Module:
    """Builds a model: float images [B, 32, 32, 3], already normalised -> logits [B, num_classes].

    Args:
      name: one of `names()`.
      num_classes: width of the last layer.
      dtype: type to compute in. Parameters, batch statistics and logits are float32 (float64 for float64).
      dropout: rate in [0, 1) of the model's dropout layers; None takes the model's own.
      activation: a name of `layers.ACTIVATIONS`, for a model that leaves the choice; None takes the model's own.

    Returns:
      A Flax module. In training it updates `batch_stats` and, with dropout, draws from the "dropout" key:
      `module.apply(variables, images, train=True, rngs={"dropout": key}, mutable=["batch_stats"])`.

    Raises:
      ConfigError: unknown name or activation, a rate that is out of range or for a model without a dropout layer,
        or an activation for a model that leaves no choice.
    """
    entry = _lookup(name)
    options = {"num_classes": num_classes, "dtype": dtype}
    if entry.dropout is not None:
        options["dropout"] = entry.dropout if dropout is None else _checked_rate(dropout)
    elif dropout:
        raise ConfigError(f"model {name!r} has no dropout layer, so no rate can be set: {dropout}")
    if entry.activation is not None:
        options["activation"] = _checked_activation(activation or entry.activation)
    elif activation:
        raise ConfigError(f"model {name!r} leaves no choice of its activation: {activation!r}")
    return entry.build(**options)


def count_params(name, num_classes=10) -> int:
    """Number of trainable parameters, found by tracing the initialisation without running it."""
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    variables = jax.eval_shape(create(name, num_classes).init, jax.random.key(0), images)
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables["params"]))


def _lookup(name) -> Entry:
    if name in REGISTRY:
        return REGISTRY[name]
    raise _unknown("model", name, REGISTRY)


def _checked_rate(rate) -> float:
    if not 0 <= rate < 1:
        raise ConfigError(f"dropout must be in [0, 1), not {rate}")
    return float(rate)


def _checked_activation(name) -> str:
    if name not in ACTIVATIONS:
        raise _unknown("activation", name, ACTIVATIONS)
    return name


def _unknown(what, name, known) -> ConfigError:
    nearest = difflib.get_close_matches(str(name), known) or list(known)
    return ConfigError(f"unknown {what} {name!r}; did you mean {' or '.join(nearest)}?")
