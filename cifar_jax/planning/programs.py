"""The programs of a training, or of a sweep's group, compiled for devices that are not there."""

import dataclasses
import functools
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cifar_jax import models
from cifar_jax.data import dataset as dataset_lib
from cifar_jax.machine import mesh as mesh_lib
from cifar_jax.models.ops import choice
from cifar_jax.sweep import loop, stack
from cifar_jax.train import hyper, setup, state, steps
from cifar_jax.train import spread as spread_lib


class Compiled(NamedTuple):
    """One compiled program."""

    name: str  # "train" or "evaluate"
    steps: int  # of a call: training steps, or batches
    seconds: float  # that its compilation took
    program: Any  # jax.stages.Compiled


def compiled(job, devices, dropout_from_hyper=False):
    """Yield the Compiled programs of a job: the training interval and the evaluation.

    Args:
        job: jobs.Job.
        devices: of devices.described.
        dropout_from_hyper: of sweep.groups.Group.
    Raises:
        ConfigError: a batch that does not divide over the devices.
    """
    config = job.config
    models.check_images(config.model.name, job.image_shape)
    mesh = jax.sharding.Mesh(np.array(devices), (mesh_lib.AXIS,))
    whole, over = mesh_lib.replicated(mesh), mesh_lib.over_devices(mesh)
    spread_lib.check_batch(config, 1 if job.runs else mesh.size)
    platform = {"cuda": "gpu", "gpu": "gpu", "cpu": "cpu"}.get(devices[0].platform, "tpu")
    with choice.formulations_of(platform):
        recipe = dataclasses.replace(_recipe(job), dropout_from_hyper=dropout_from_hyper)
        start = functools.partial(_state, job, recipe)
        if job.runs:
            runs = len(loop.padded(job.runs, mesh.size))
            programs = stack.make_programs(recipe, mesh, runs)
            first = jax.eval_shape(jax.vmap(start), jax.random.split(jax.random.PRNGKey(0), runs))
            member = stack.TrialState(first, jax.ShapeDtypeStruct((runs,), jnp.int32))
            first, variables, of_order, sharding = member, first.variables, (runs,), over
        else:
            spread = spread_lib.Spread(mesh, config.parallel.backend, config.parallel.batch_norm)
            size = -(-recipe.eval_batch_size // mesh.size) * mesh.size
            recipe = dataclasses.replace(recipe, spread=spread, eval_batch_size=size)
            programs = steps.make_programs(recipe, whole)
            first = jax.eval_shape(start, jax.random.PRNGKey(0))
            variables, of_order, sharding = first.variables, (), whole
        count = min(config.log_every_steps, job.steps_per_epoch)
        order = _on(sharding, jax.ShapeDtypeStruct((*of_order, job.trained_on), jnp.int32))
        rows = over if config.parallel.dataset == "sharded" else whole
        arguments = (
            _on(sharding, first),
            _data(job, job.trained_on, whole, rows, mesh),
            order,
            count,
        )
        yield _compile("train", count, programs.train_steps, arguments)
        batches = -(-job.test_count // recipe.eval_batch_size)
        arguments = _on(sharding, variables), _data(job, job.test_count, whole, rows, mesh)
        yield _compile("evaluate", batches, programs.evaluate, arguments)


def _compile(name, count, function, arguments):
    started = time.perf_counter()
    program = function.lower(*arguments).compile()
    return Compiled(name, count, time.perf_counter() - started, program)


def _recipe(job):
    """Make the steps.Recipe; what the data are beside their sizes decides no program."""
    names = tuple(map(str, range(job.classes)))
    sizes = {"train": job.count, "test": job.test_count}
    facts = dataset_lib.KNOWN["cifar10"]
    dataset = dataset_lib.Dataset(job.config.dataset.name, names, *facts, sizes, "", None)
    return setup.make_recipe(job.config, dataset, job.steps_per_epoch)


def _state(job, recipe, key):
    numbers, options = hyper.from_config(job.config), setup.state_options(job.config)
    return state.initial_state(
        recipe.model, recipe.optimizer, numbers, key, job.image_shape, **options
    )


def _data(job, count, whole, rows_over, mesh):
    padded = -(-count // mesh.size) * mesh.size if rows_over is not whole else count
    rows = jax.ShapeDtypeStruct(
        (padded, int(np.prod(job.image_shape))), jnp.uint8, sharding=rows_over
    )
    labels = jax.ShapeDtypeStruct((count,), jnp.int32, sharding=whole)
    return steps.Data(rows, labels, job.image_shape)


def _on(sharding, tree):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)
