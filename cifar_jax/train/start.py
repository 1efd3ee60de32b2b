"""A run's first state, made while its steps are compiled: XLA lets go of Python's lock."""

import functools
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp

from cifar_jax.config import jax_settings
from cifar_jax.machine import mesh as mesh_lib
from cifar_jax.machine import processes
from cifar_jax.train import epochs, state
from cifar_jax.train.setup import initial_state, state_arguments


def alone(setup, with_weights=True):
    """Make the state as `with_programs`, but compile nothing else."""
    return initial_state(setup, with_weights), 0.0


def with_programs(setup, with_weights=True):
    """Make the TrainState of a run before its first step, and compile its steps beside.

    Args:
        setup, with_weights: of setup.initial_state.
    Returns:
        (TrainState, seconds that compiling took).
    Raises:
        UserError: of setup.initial_state.
    """
    config = setup.config
    # Several processes compile in one order, pmap needs arrays, and weights that can't be read are said so at once.
    if processes.several() or config.parallel.backend == "pmap" or config.model.weights:
        return alone(setup, with_weights)
    with ThreadPoolExecutor(1) as pool:
        compiling = pool.submit(jax_settings.pinned()(compile_steps), setup)
        start = initial_state(setup, with_weights)
        setup.programs.epoch_order(start.key, 0, len(setup.train.labels))
        return start, compiling.result()


def compile_steps(setup):
    """Compile the training steps for the shapes of what they will be given; seconds."""
    whole = mesh_lib.replicated(setup.mesh)

    def on_mesh(shape):
        return jax.ShapeDtypeStruct(
            shape.shape, shape.dtype, sharding=whole, weak_type=shape.weak_type
        )

    (model, optimizer, numbers, seed, image_shape), options = state_arguments(setup)
    make = functools.partial(state.initial_state, model, optimizer)
    make = functools.partial(make, image_shape=image_shape, **options)
    shapes = jax.eval_shape(make, numbers, jax.random.PRNGKey(seed))
    order = jax.ShapeDtypeStruct(setup.train.labels.shape, jnp.int32, sharding=whole)
    return epochs.compile_steps(setup, jax.tree.map(on_mesh, shapes), order)
