"""What a training would be, and how long it would take: its start and its first steps, of which nothing is kept."""

import time

import jax.numpy as jnp
from rich.console import Console

from cifar_jax import config as config_lib
from cifar_jax.config import jax_settings
from cifar_jax.console import progress
from cifar_jax.machine import processes, runtime
from cifar_jax.runs import writers
from cifar_jax.train import callbacks, epochs, inputs
from cifar_jax.train.log import Log
from cifar_jax.train.pace import Pace
from cifar_jax.train.setup import build, initial_state

MOST_SECONDS = 10.0  # of steps
FEW = 8  # steps between two looks at the clock


@jax_settings.pinned()
def dry_run(config: config_lib.Config, console: Console | None = None) -> dict[str, float]:
    """Load the data, compile the steps and time a few of them; print what would run and how long it would take.

    Args:
        config: ConfigDict, as of config.default().
        console: rich.console.Console to print on.
    Returns:
        {"compile_seconds", "step_seconds", "epoch_seconds", "total_seconds"}: without evaluations; of images that
        grow the last size's step and epoch.
    Raises:
        UserError: as of loop.train_and_evaluate.
    """
    config = config_lib.check(config)
    runtime.enable_compilation_cache(config.compilation_cache)
    dataset = processes.in_turns(lambda: inputs.load_data(config, {}))
    setup = build(config, dataset)
    state = initial_state(setup)
    nowhere = writers.Nowhere()
    display = progress.Display(setup.total_steps, config.total_epochs, console)
    with display:
        log = Log(nowhere, nowhere, display, callbacks.Callbacks())
        log.start("", setup, state)
        compile_seconds = epochs.compile_steps(setup, state)
        log.compiled(compile_seconds)
        of_epochs = time_epochs(setup, state)
    per_epoch, total = setup.steps_per_epoch, sum(of_epochs) * setup.steps_per_epoch
    log.estimate(total / setup.total_steps, setup, setup.total_steps)
    display.say("dry run: nothing was written")
    return {
        "compile_seconds": compile_seconds,
        "step_seconds": of_epochs[-1],
        "epoch_seconds": of_epochs[-1] * per_epoch,
        "total_seconds": total,
    }


def time_epochs(setup, state):
    """Return the seconds a step of each epoch, of which a few steps are timed for each size of the images: a list."""
    count, sides = setup.config.total_epochs, setup.config.augment.image_sizes
    of_epochs = [sides[min(epoch, len(sides) - 1)] if sides else None for epoch in range(count)]
    seconds = {}
    for side in dict.fromkeys(of_epochs):
        first = of_epochs.index(side) * setup.steps_per_epoch
        state = state.replace(step=jnp.full_like(state.step, first))
        seconds[side], state = time_steps(setup, state)
    return [seconds[side] for side in of_epochs]


def time_steps(setup, state):
    """Time steps from where a state stands, which is donated: (seconds a step, the state after them)."""
    pace, began, last, done = Pace(setup.programs), time.perf_counter(), None, 0
    order = setup.programs.epoch_order(state.key, 0, len(setup.train.labels))
    left = setup.total_steps - int(state.step)
    every = min(setup.config.log_every_steps, setup.steps_per_epoch)
    if setup.programs.any_count:
        every = min(every, FEW)
    while left > 0:
        count, started = min(every, left), time.perf_counter()
        state, _ = pace.train_steps(state, setup.train, order, count)
        last = (time.perf_counter() - started) / count
        left, done = left - count, done + 1
        # Several processes must do the same, so no clock decides: the second interval is timed.
        enough = pace.step_seconds or time.perf_counter() - began > MOST_SECONDS
        if done == 2 if processes.several() else enough:
            break
    return pace.step_seconds or last, state
