"""Fine-tuning: layers that stay as they are, and a learning rate of its own for all but the last ones.

Layers have the names of their modules joined by "/", as in `cifar_jax.analysis.named_layers`.
"""

import contextlib
import dataclasses

import flax.linen as nn
import jax
from flax.traverse_util import flatten_dict

from cifar_jax import models
from cifar_jax.errors import ConfigError, nearest
from cifar_jax.models.layers import BatchNorm

BACKBONE = "backbone"  # of model.freeze: all layers but the last


@dataclasses.dataclass(frozen=True)
class FineTuning:
    """Which layers learn, and how fast; by default all do, alike."""

    frozen: tuple[str, ...] = ()  # layers that stay as they are, with all layers in them
    head: tuple[str, ...] = ()  # the last layers, whose learning rate is the optimizer's
    backbone_factor: float = 1.0  # of the learning rate of all others

    def factor(self, layer):
        """Return the factor of a layer's learning rate; 0 for one that stays as it is."""
        if any(layer == each or layer.startswith(f"{each}/") for each in self.frozen):
            return 0.0
        return 1.0 if layer in self.head else self.backbone_factor

    def factors(self, params):
        """Return a tree as `params` of each array's factor, float."""

        def factor(path, _):
            return self.factor("/".join(key.key for key in path[:-1]))

        return jax.tree_util.tree_map_with_path(factor, params)

    def hold(self, params):
        """Return `params`, of which those of frozen layers have no gradient, so that none is computed for them."""
        return jax.tree.map(
            lambda x, factor: x if factor else jax.lax.stop_gradient(x),
            *(params, self.factors(params)),
        )

    def update(self, params, projected, direction, learning_rate):
        """Return params - learning_rate * direction, `projected` before where they move at all; trees of arrays."""

        def updated(old, new, direction, factor):
            rate = learning_rate if factor == 1 else learning_rate * factor
            return (new - rate * direction).astype(old.dtype) if factor else old

        return jax.tree.map(updated, params, projected, direction, self.factors(params))

    def apply(self):
        """Let frozen layers normalise, inside this context, by their running statistics, which stay as they are."""

        def intercept(method, arguments, keywords, context):
            layer = context.module
            if isinstance(layer, (BatchNorm, nn.BatchNorm)) and not self.factor(
                "/".join(layer.path)
            ):
                if isinstance(layer, BatchNorm):
                    return method(arguments[0], train=False)
                # Flax's own wants it said once, by its field or in the call.
                object.__setattr__(layer, "use_running_average", None)
                return method(arguments[0], use_running_average=True)
            return method(*arguments, **keywords)

        return nn.intercept_methods(intercept) if self.frozen else contextlib.nullcontext()


def of_config(config, num_classes):
    """Make the FineTuning of a checked config.

    Raises:
        ConfigError: model.freeze names no layer, or one that the model does not have, with the nearest that it has; or
            nothing would be left to train.
    """
    name, freeze = config.model.name, config.model.freeze
    factor = config.optimizer.backbone_factor
    if not freeze and factor == 1:
        return FineTuning()
    params = flatten_dict(models.shapes(name, num_classes)["params"])
    layers = dict.fromkeys("/".join(path[:-1]) for path in params)
    head = models.last_layers(name)
    frozen = tuple(each for each in layers if each not in head)
    if freeze != BACKBONE:
        frozen = tuple(each.strip() for each in freeze.split(",") if each.strip())
        known = {"/".join(path[:n]) for path in params for n in range(1, len(path))}
        for each in frozen:
            if each not in known:
                raise ConfigError(
                    f"model.freeze: {name} has no layer {each!r}; {nearest(each, known)}"
                )
    if freeze and not frozen:
        raise ConfigError(
            f"model.freeze={freeze!r} names no layer; give names, with commas between, or {BACKBONE}"
        )
    tuning = FineTuning(frozen, head, factor)
    if not any(map(tuning.factor, layers)):
        raise ConfigError(f"model.freeze={freeze}: every layer of {name} would stay as it is")
    return tuning
