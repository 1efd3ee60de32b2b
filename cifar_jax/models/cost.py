"""The cost of a model: multiply-adds and the memory of its activations, by tracing it, without running it."""

import jax
import jax.numpy as jnp
from jax.extend.core import jaxprs_in_params

from cifar_jax.models import registry
from cifar_jax.models.ops import choice

BATCH = 128  # whose activations are counted
CONTRACTIONS = ("conv_general_dilated", "dot_general")


def describe(name, num_classes=None, image_shape=None):
    """Count what a model costs, for images of its own shape or of another [H, W, C]: a JSON-able dict.

    Returns:
        dict: `name`, `params`, `parameter_bytes`, `activation_bytes` (of a training step of `activation_batch`
        images), `activation_batch` and `multiply_adds` (an image's); bytes are of float32.
    Raises:
        ConfigError: unknown model.
    """
    params = registry.count_params(name, num_classes)
    return {
        "name": name,
        "params": params,
        "parameter_bytes": 4 * params,
        "activation_bytes": activation_bytes(name, BATCH, num_classes, image_shape),
        "activation_batch": BATCH,
        "multiply_adds": multiply_adds(name, num_classes, image_shape),
    }


def multiply_adds(name, num_classes=None, image_shape=None):
    """Count the multiply-adds of the convolutions and matrix products of one image's evaluation.

    XLA's cost analysis counts, operation by operation, in XLA's own formulation, but no products with the zeros of a
    convolution's padding, as papers' formulas do: 0.48e9 for resnet18, where these say 0.56e9. Biases, activations,
    normalisation and pooling are no multiply-adds here.
    """
    model, variables, images = _traced(name, num_classes, 1, image_shape)
    with choice.plain_formulations():
        traced = jax.make_jaxpr(model.apply)(variables, images)
    return round(_flops(traced.jaxpr) / 2)


def activation_bytes(name, batch, num_classes=None, image_shape=None):
    """Count the bytes, in float32, that a training step keeps from the forward pass for the backward pass.

    What automatic differentiation saves, in XLA's own formulation; XLA may then keep less, by computing
    again, and needs working space beside it. Parameters are not in it.
    """
    one, two, all_images = (
        _saved_bytes(name, num_classes, images, image_shape) for images in (1, 2, batch)
    )
    # What does not grow with the batch is parameters. It is asked of few images: many may attend in blocks.
    return all_images - (2 * one - two)


def _traced(name, num_classes, batch, image_shape):
    shape = image_shape or registry.lookup(name).input_shape
    images = jax.ShapeDtypeStruct((batch, *shape), jnp.float32)
    return registry.create(name, num_classes), registry.shapes(name, num_classes), images


def _saved_bytes(name, num_classes, batch, image_shape):
    model, variables, images = _traced(name, num_classes, batch, image_shape)

    def backward(params, batch_stats, images):
        def forward(params):
            return model.apply(
                {"params": params, "batch_stats": batch_stats},
                images,
                train=True,
                rngs={"dropout": jax.random.key(0)},
                mutable=["batch_stats", "auxiliary"],
            )

        return jax.vjp(forward, params)[1]  # A pytree of what it remembers.

    with choice.plain_formulations():
        saved = jax.eval_shape(
            backward, variables["params"], variables.get("batch_stats", {}), images
        )
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(saved))


def _flops(jaxpr):
    """Add up the operations of all contractions of a jaxpr and the jaxprs inside."""
    total = 0.0
    for equation in jaxpr.eqns:
        if equation.primitive.name in CONTRACTIONS:
            total += _flops_of(equation)
        else:
            times = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
            total += times * sum(map(_flops, jaxprs_in_params(equation.params)))
    return total


def _flops_of(equation):
    """Return XLA's count for one equation, as a program of its own."""
    arguments = [jax.ShapeDtypeStruct(var.aval.shape, var.aval.dtype) for var in equation.invars]
    lowered = jax.jit(lambda *x: equation.primitive.bind(*x, **equation.params)).lower(*arguments)
    return lowered.cost_analysis()["flops"]
