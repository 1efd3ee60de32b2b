"""The layers of a model by name: their outputs, to look at and to move.

Whatever a model calls as a Flax module is a layer, its name the modules' names joined by "/":
"conv1_relu", "stage4_block2/conv1/bn". A layer inside a block comes before the block. Where batch norm
includes the ReLU, what it gives is the ReLU's. The last, "logits", is the model's own output. Dropout is
left out, for it does nothing in evaluation. A model's `layer_aliases` are further names, such as report
004's relu_9 and relu_10 of big_net.
"""

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cifar_jax.errors import UserError, nearest
from cifar_jax.models.layers import Dropout

LOGITS = "logits"


@functools.partial(jax.jit, static_argnums=(0, 3))
def activations(
    model: nn.Module, variables: Any, images: jax.typing.ArrayLike, layer: str
) -> jax.Array:
    """Return the output of a layer in evaluation.

    Args:
        model: of models.create.
        variables: of the model.
        images: normalised, float [B, H, W, C].
        layer: a name of `layers`, or an alias of one.
    Returns:
        [B, H', W', C'] or [B, F], of the type that the model computes in.
    Raises:
        UserError: no such layer; the nearest name is given.
    """
    outputs = _outputs(model, variables, images)
    return outputs[resolve(model, layer, outputs)]


def layers(
    model: nn.Module, variables: Any, images_shape: Sequence[int]
) -> dict[str, tuple[int, ...]]:
    """List a model's layers in order of execution, with the shapes of their outputs.

    The model is traced, not run.

    Args:
        model: of models.create.
        variables: of the model: arrays or jax.ShapeDtypeStruct.
        images_shape: (B, H, W, C).
    Returns:
        dict: name -> shape, a tuple of int.
    """
    return {name: each.shape for name, each in traced(model, variables, images_shape).items()}


def resolve(model, layer, known):
    """Return the layer that a name or an alias means.

    Args:
        model: of models.create.
        layer: a name.
        known: the names of the model's layers.
    Raises:
        UserError: there is none; the nearest name is given.
    """
    name = aliases(model).get(layer, layer)
    if name in known:
        return name
    names = [*known, *aliases(model)]
    raise UserError(f"the model has no layer {layer!r}; {nearest(layer, names)}")


def aliases(model):
    """Return further names of a model's layers: alias -> name."""
    return dict(getattr(model, "layer_aliases", {}))


def apply_with_hooks(model, variables, images, visit):
    """Return the model's logits in evaluation; `visit` sees, and may replace, the output of each layer.

    Args:
        model: of models.create.
        variables: of the model.
        images: normalised, float [B, H, W, C].
        visit: (name, value) -> value, called in order of execution.
    Returns:
        [B, num_classes].
    """

    def intercept(method, arguments, keywords, context):
        value = method(*arguments, **keywords)
        if context.method_name != "__call__" or isinstance(context.module, (Dropout, nn.Dropout)):
            return value
        return visit("/".join(context.module.path) or LOGITS, value)

    with nn.intercept_methods(intercept):
        return model.apply(variables, images, train=False)


def _outputs(model, variables, images):
    """Return name -> output of each layer, in order of execution."""
    outputs = {}

    def keep(name, value):
        outputs[name] = value
        return value

    apply_with_hooks(model, variables, images, keep)
    return outputs


def traced(model, variables, images_shape):
    """Return name -> jax.ShapeDtypeStruct of the output of each layer, in order of execution."""
    order = []

    def trace(variables, images):
        outputs = _outputs(model, variables, images)
        order.extend(outputs)
        return outputs

    shapes = jax.eval_shape(trace, variables, jax.ShapeDtypeStruct(images_shape, jnp.float32))
    return {name: shapes[name] for name in order}  # JAX sorts the keys of a dict.
