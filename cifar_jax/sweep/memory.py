"""How many runs fit into memory: an estimate, made before anything is allocated."""

import math

import jax
import jax.numpy as jnp

from cifar_jax import models
from cifar_jax.models import cost
from cifar_jax.train import hyper, optimizers, state

# The backward pass needs gradients of the activations beside what the forward pass saved.
WORKING = 2


def state_bytes(config, num_classes):
    """Count the bytes that one run keeps: TrainState, best variables, gradients and update."""
    model = models.create(config.model.name, num_classes, activation=config.model.activation)
    optimizer = optimizers.of_config(config)
    shape = image_shape(config)

    def initial(key):
        return state.initial_state(
            model, optimizer, hyper.from_config(config), key, shape, ema=config.ema.decay > 0
        )

    start = jax.eval_shape(initial, jax.ShapeDtypeStruct((2,), jnp.uint32))
    return _bytes(start) + _bytes(start.variables) + 2 * _bytes(start.params)


def image_shape(config):
    """Return (H, W, C) of a run's images."""
    return config.dataset.image_size, config.dataset.image_size, 3


def _bytes(tree):
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def working_bytes(config, num_classes):
    """Count the bytes that one run's step needs for a moment: activations and their gradients."""
    saved = cost.activation_bytes(
        config.model.name, config.batch_size, num_classes, image_shape(config)
    )
    return WORKING * saved * jnp.dtype(config.dtype).itemsize // 4


def most_runs(config, num_classes, images, available, turns):
    """Estimate how many runs of a config fit at once, at least 1.

    Args:
        config: checked ConfigDict.
        num_classes: of the data set.
        images: of the training split; each run has its own order of them.
        available: bytes, of all devices together.
        turns: whether only one run at a time has activations.
    Returns:
        (int, estimated bytes of each further run).
    """
    kept, working = (
        state_bytes(config, num_classes) + 4 * images,
        working_bytes(config, num_classes),
    )
    per_run, fixed = (kept, working) if turns else (kept + working, 0)
    fixed += images * math.prod(image_shape(config))
    return max(1, int((available - fixed) // per_run)), per_run
