"""Features of any of the models: the input of its last linear layer, its logits, means of its layers."""

import functools
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from cifar_jax.analysis.named_layers import activations
from cifar_jax.analysis.ood.scores import mean_activation
from cifar_jax.machine import compilation
from cifar_jax.models.layers import Linear

PENULTIMATE = "penultimate"  # the name of penultimate's features among layers


class Outputs(NamedTuple):
    """Of N images."""

    logits: np.ndarray  # float32 [N, num_classes]
    features: np.ndarray  # float32 [N, D], penultimate
    means: dict  # layer -> float32 [N], mean over all its units


def penultimate(model, variables, images):
    """Return the logits, and the input of the linear layer that is called last.

    Args:
        model: Flax module.
        variables: of the model.
        images: normalised, float [B, H, W, C].
    Returns:
        (float [B, num_classes], float [B, D]).
    Raises:
        ValueError: a model without a linear layer.
    """
    inputs = []

    def remember(call, arguments, keywords, context):
        if context.method_name == "__call__" and isinstance(context.module, Linear | nn.Dense):
            inputs.append(arguments[0])
        return call(*arguments, **keywords)

    with nn.intercept_methods(remember):
        logits = model.apply(variables, images, train=False)
    if not inputs:
        raise ValueError(f"{type(model).__name__} has no linear layer")
    return logits, inputs[-1].reshape(len(images), -1)


@functools.lru_cache(maxsize=8)
def make_step(model, normalize, layers=()):
    """Make a compiled (variables, uint8 [B, H, W, C]) -> Outputs.

    Args:
        model: Flax module.
        normalize: uint8 images -> the model's input.
        layers: tuple of names for `activations`, or PENULTIMATE.
    """

    @compilation.jit
    def step(variables, images):
        images = normalize(images)
        logits, features = penultimate(model, variables, images)
        means = {}
        for layer in layers:
            own = layer == PENULTIMATE
            units = features if own else activations(model, variables, images, layer)
            means[layer] = mean_activation(units.astype(jnp.float32))
        return Outputs(logits.astype(jnp.float32), features.astype(jnp.float32), means)

    return step
