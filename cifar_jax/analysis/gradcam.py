"""Grad-CAM: the places of an image that a class's logit rises with.

Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization, ICCV
2017, https://arxiv.org/abs/1610.02391, section 3.

The layer is by default the last one that gives a map of more than one pixel, which is what the model
flattens or pools into its classifier: after its ReLU (or GELU) and before the pooling that may follow, the
last block's sum in residual networks, the last block's branches side by side in Inception's, all features
together in DenseNet, after the attention in attention_net. preact_resnet18 has no ReLU there, as in
kuangliu/pytorch-cifar.
"""

import functools

import jax
import jax.numpy as jnp

from cifar_jax.analysis import named_layers
from cifar_jax.errors import UserError
from cifar_jax.models.layers import storage_dtype


@functools.partial(jax.jit, static_argnums=(0, 4))
def maps(model, variables, images, classes=None, layer=None):
    """Compute Grad-CAM maps, relu(sum_k alpha_k A_k), A the layer's features, alpha_k the mean of d logit / d A_k.

    An image's map does not depend on the others of its batch. The gradient is that with respect to zeros
    added to what the layer gives, so it is the same however the model goes on from there.

    Args:
        model: of models.create.
        variables: of the model.
        images: normalised, float [B, H, W, C].
        classes: int [B], whose logits are explained; None for those that the model predicts.
        layer: a name of named_layers.layers; None for default_layer's.
    Returns:
        [B, H', W'], of the layer's size, at least 0, in units of the logit; float32, or float64 where the
        model computes in that.
    Raises:
        UserError: no such layer, or one that gives no map.
    """
    layer, output = choose_layer(model, variables, images.shape, layer)

    def logits_of_classes(change):
        features = None

        def add(name, value):
            nonlocal features
            if name != layer:
                return value
            features = value
            return value + change

        logits = named_layers.apply_with_hooks(model, variables, images, add)
        chosen = jnp.argmax(logits, axis=-1) if classes is None else classes
        return jnp.sum(jnp.take_along_axis(logits, chosen[:, None], axis=-1)), features

    gradient, features = jax.grad(logits_of_classes, has_aux=True)(jnp.zeros_like(output))
    wide = storage_dtype(output.dtype)
    weights = jnp.mean(gradient.astype(wide), axis=(1, 2))
    # An accelerator's quick products of float32 numbers would round to some three digits.
    together = jnp.einsum("bhwk,bk->bhw", features.astype(wide), weights, precision="highest")
    return jax.nn.relu(together)


def normalized(maps):
    """Divide each map [B, H, W] by its greatest value, for display; one of zeros stays."""
    greatest = jnp.max(maps, axis=(1, 2), keepdims=True)
    return maps / jnp.where(greatest > 0, greatest, 1)


def resized(maps, height, width):
    """Resize maps to an image's size bilinearly, [B, H', W'] -> [B, height, width]."""
    return jax.image.resize(maps, (len(maps), height, width), "bilinear")


def default_layer(shapes):
    """Return the last layer that gives a map of more than one pixel.

    Args:
        shapes: name -> shape in order of execution, of named_layers.layers.
    Raises:
        UserError: there is none.
    """
    with_maps = [
        name for name, shape in shapes.items() if len(shape) == 4 and shape[1] * shape[2] > 1
    ]
    if not with_maps:
        raise UserError("no layer of this model gives a map of more than one pixel")
    return with_maps[-1]


def choose_layer(model, variables, images_shape, layer=None):
    """Return the layer that `maps` explains: its name, and its output as a jax.ShapeDtypeStruct; see there."""
    known = named_layers.traced(model, variables, images_shape)
    shapes = {name: each.shape for name, each in known.items()}
    if layer is None:
        layer = default_layer(shapes)
    layer = named_layers.resolve(model, layer, shapes)
    if len(shapes[layer]) != 4:
        raise UserError(
            f"the layer {layer!r} gives vectors, not maps; the last that gives maps is {default_layer(shapes)!r}"
        )
    return layer, known[layer]
