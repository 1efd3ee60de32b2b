"""A whole training as one compiled program: what the model takes from the data, every epoch, the evaluation at its end.

An accelerator is told to begin once, and the host waits for the accuracy: what a speed run is timed by.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from cifar_jax import metrics
from cifar_jax.errors import ConfigError
from cifar_jax.train import state
from cifar_jax.train.setup import variables_from_data, with_variables


class Ended(NamedTuple):
    state: state.TrainState  # after the last step
    trained: metrics.TrainMetrics  # of all steps
    tested: metrics.EvalMetrics


def train_and_test(setup):
    """The pure function (TrainState, train: Data, test: Data) -> Ended of a run.

    The state is that of setup.initial_state; the numbers are those of the main job, which draws the same, to float
    tolerance.

    Args:
        setup: Setup.
    Raises:
        ConfigError: the host has a say between epochs: the plateau schedule, early stopping, streamed images; or
            the step is to run under pmap.
    """
    config, recipe = setup.config, setup.recipe
    stopping = config.early_stopping
    asked = {
        "schedule.name=plateau": config.schedule.name == "plateau",
        "early_stopping": stopping.patience or stopping.max_gap,
        # By itself, too, where the images are too many for the devices.
        "dataset.residency=stream": not isinstance(setup.train.rows, jax.Array),
        "parallel.backend=pmap": config.parallel.backend == "pmap",
    }
    if refused := [name for name, wanted in asked.items() if wanted]:
        raise ConfigError(
            f"one program for the whole training can't have {' and '.join(refused)}: "
            "leave it out, or train with python -m cifar_jax.main"
        )

    def train_then_test(start, train, test):
        given = {}
        if not config.model.weights:
            given = variables_from_data(recipe, config.model.name, train.images(slice(None)))
        start = with_variables(start, given)

        def epoch(carry, number):
            order = recipe.epoch_order(start.key, number, train.labels.shape[0])
            step = lambda carry, _: (recipe.train_step(*carry, train, order), None)  # noqa: E731
            return jax.lax.scan(step, carry, length=setup.steps_per_epoch)

        carry = start, recipe.no_metrics()
        (last, trained), _ = jax.lax.scan(epoch, carry, jnp.arange(config.total_epochs))
        judge = functools.partial(recipe.eval_step, last.variables)
        batches = jnp.arange(-(-test.labels.shape[0] // recipe.eval_batch_size))
        tested, _ = jax.lax.scan(
            lambda sums, batch: (judge(sums, test, batch), None),
            recipe.no_eval_metrics(),
            batches,
        )
        return Ended(last, trained, tested)

    return train_then_test
