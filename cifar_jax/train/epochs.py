"""The loop over epochs that a run and the runs of a sweep share: when to train, to save and to stop."""

import time
from typing import Any, Protocol

from cifar_jax.errors import UserError
from cifar_jax.machine import processes, runtime
from cifar_jax.runs import checkpoints
from cifar_jax.train.callbacks import STOP
from cifar_jax.train.setup import Setup


class Training(Protocol):
    """A training for `run`: how its steps are done, ended and saved."""

    setup: Setup
    manager: checkpoints.Manager
    record: Any  # with `compile_seconds`; kept with each checkpoint
    state: Any  # of the programs in `setup`, with a `key`

    def goes_on(self):
        """Return whether anything is left to train, the number of steps aside."""

    def interval(self, order, step, count):
        """Train `count` steps from `step` on, in the order of this epoch."""

    def compiled(self, seconds):
        """Take how long it took to compile the steps; by default not told."""

    def check(self, step):
        """Raise what forbids to go on after `step`; by default nothing does."""

    def end_epoch(self, epoch, due):
        """Evaluate after an epoch, from 0; `due`: a checkpoint is made here whatever comes out."""

    def save(self, candidate):
        """Start writing a checkpoint; `candidate`: whether it may be the best one."""


def run(training, step, caught):
    """Train to the end, to where nothing goes on, or to a signal; all is saved then.

    Args:
        training: Training.
        step: steps done so far.
        caught: list that a signal is put into.
    Returns:
        the steps done.
    """
    setup, per_epoch = training.setup, training.setup.steps_per_epoch
    going, stop = step < setup.total_steps and training.goes_on(), False
    if going:
        seconds = compile_steps(setup, training.state)
        training.record.compile_seconds += seconds
        training.compiled(seconds)
    while going and not stop:
        epoch = step // per_epoch
        order = setup.programs.epoch_order(training.state.key, epoch, len(setup.train.labels))
        while step // per_epoch == epoch:
            count = interval_length(setup, step)
            training.interval(order, step, count)
            step += count
            if step % per_epoch and processes.signal_of_any(caught):
                break
        training.check(step)
        due = step == setup.total_steps
        if step % per_epoch == 0:
            due = due or (epoch + 1) % setup.config.checkpoint.every_epochs == 0
            training.end_epoch(epoch, due)
        going = step < setup.total_steps and training.goes_on()
        stop = processes.signal_of_any(caught)
        if due or stop or not going:
            # A checkpoint that only a signal made is no candidate for the best one: an
            # uninterrupted run would not have it.
            training.save(candidate=due or not going)
    checkpoints.wait(training.manager)
    return step


def interval_length(setup, step):
    """Return the steps from `step` to the end of its log interval, or of its epoch if that comes first."""
    position, every = step % setup.steps_per_epoch, setup.config.log_every_steps
    return min(every - position % every, setup.steps_per_epoch - position)


def compile_steps(setup, state):
    """Compile the training steps before the first interval, whose time is then its own.

    Returns:
        seconds.
    """
    started = time.perf_counter()
    every, per_epoch = setup.config.log_every_steps, setup.steps_per_epoch
    counts = {min(every, per_epoch), per_epoch % every} - {0}
    order = setup.programs.epoch_order(state.key, 0, len(setup.train.labels))
    setup.programs.compile(state, setup.train, order, sorted(counts))
    return time.perf_counter() - started


def raise_if_stopped(caught, place):
    """Raise Interrupted where a signal was caught; `place` says where the training was saved."""
    if number := processes.signal_of_any(caught):
        if number == STOP:
            raise UserError(f"stopped at {place}, saved: a callback failed in the first process")
        raise runtime.Interrupted(
            f"stopped by signal {number} at {place}; saved. The same command goes on from here.",
            number,
        )
