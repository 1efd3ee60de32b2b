"""The training of one group: the loop over epochs of train/epochs.py, for many runs at once."""

import dataclasses
import math
import time
from typing import Any

import jax
import numpy as np

from cifar_jax.machine import mesh as mesh_lib
from cifar_jax.machine import processes
from cifar_jax.runs import checkpoints
from cifar_jax.sweep import results
from cifar_jax.sweep import stack as stack_lib
from cifar_jax.sweep.groups import Group
from cifar_jax.train import epochs
from cifar_jax.train.setup import Setup


@dataclasses.dataclass
class Record:
    """Facts beside the Stack that the host needs to go on; kept with each checkpoint."""

    train_seconds: float = 0.0  # of the group, in training steps, compilation not counted
    compile_seconds: float = 0.0
    # Sums over the steps of the current epoch so far; lists have a number for each run.
    epoch_steps: int = 0
    epoch_seconds: float = 0.0
    epoch_loss: list = dataclasses.field(default_factory=list)
    epoch_accuracy: list = dataclasses.field(default_factory=list)
    learning_rate: list = dataclasses.field(default_factory=list)


OF_RUNS = ("epoch_loss", "epoch_accuracy", "learning_rate")  # the lists of a Record


def padded(runs, devices):
    """Return the runs, and the first ones again until they divide over the devices."""
    return [runs[i % len(runs)] for i in range(-(-len(runs) // devices) * devices)]


def restore(manager, start, count, mesh, say):
    """Read the newest whole checkpoint, padded like `start` and over the mesh; `say` is told of damaged ones.

    Returns:
        (Stack, Record, about); what was given where there is no checkpoint, and about None.
    """
    # Whole on every device: the unpadded runs need not divide.
    whole = mesh_lib.replicated(mesh)
    template = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((count, *x.shape[1:])[: x.ndim], x.dtype, sharding=whole),
        start,
    )
    if (checkpoint := checkpoints.restore_newest(manager, template, say)) is None:
        return start, Record(), None
    unpadded, record, about = checkpoint

    index = np.arange(len(start.members.diverged)) % count

    def pad(array, like):
        return mesh_lib.put(array[index] if like.ndim else array, like.sharding)

    for name in OF_RUNS:
        record[name] = [record[name][i] for i in index] if record[name] else []
    return jax.tree.map(pad, unpadded, start), Record(**record), about


@dataclasses.dataclass
class GroupTraining(epochs.Training):
    """The training of a group, as epochs.run takes it."""

    setup: Setup  # of the group
    group: Group
    stack: stack_lib.Stack  # donated by each interval
    record: Record
    manager: checkpoints.Manager
    about: dict  # for the checkpoints, JSON-able
    log: Any  # (rows, seconds of training) -> None, called after each epoch
    show: Any  # steps done -> None, called after each interval

    def __post_init__(self):
        self._end_epoch = stack_lib.make_end_epoch(self.setup.config, self.setup.mesh)

    @property
    def state(self):
        return self.stack.members

    def goes_on(self):
        """Return whether any run has neither stopped nor diverged."""
        return mesh_lib.on_host(self.stack.members.active).any()

    def interval(self, order, step, count):
        """Train `count` steps and add to the sums of the epoch."""
        setup, record, started = self.setup, self.record, time.perf_counter()
        members, sums = setup.programs.train_steps(self.state, setup.train, order, count)
        values = mesh_lib.on_host(means(sums))
        seconds = time.perf_counter() - started
        record.train_seconds += seconds
        record.epoch_seconds += seconds
        record.epoch_steps += count
        record.epoch_loss = add(record.epoch_loss, count * values["loss"].astype(float))
        record.epoch_accuracy = add(record.epoch_accuracy, count * values["accuracy"].astype(float))
        # A run that has stopped keeps the rate of its last step.
        rates = values["learning_rate"].tolist()
        before = record.learning_rate or rates
        record.learning_rate = [
            new if math.isfinite(new) else old for new, old in zip(rates, before, strict=True)
        ]
        done = mesh_lib.put(self.stack.step + count, self.stack.step.sharding)
        self.stack = self.stack.replace(members=members, step=done)
        self.show(step + count)

    def end_epoch(self, epoch, due):
        """Evaluate on the validation split and let every run decide for itself."""
        setup, record = self.setup, self.record
        trained = {
            "loss": np.float32(np.divide(record.epoch_loss, record.epoch_steps)),
            "accuracy": np.float32(np.divide(record.epoch_accuracy, record.epoch_steps)),
        }
        evaluated = None
        if setup.validation is not None:
            evaluated = setup.programs.evaluate(
                self.stack.members.state.variables, setup.validation
            )
        on_devices = mesh_lib.put(trained, mesh_lib.over_devices(setup.mesh))
        self.stack = self._end_epoch(self.stack, on_devices, evaluated, due, epoch + 1)
        rates = record.learning_rate
        rows = results.epoch_rows(setup, self.group, self.stack, rates, trained, evaluated)
        self.record = Record(record.train_seconds, record.compile_seconds, learning_rate=rates)
        self.log(rows, record.epoch_seconds)

    def save(self, candidate):
        """Start writing the runs, the padding left out: it depends on the devices."""
        count, stack = len(self.group.runs), self.stack
        if processes.several():
            stack = mesh_lib.on_host(stack)
        unpadded = jax.tree.map(lambda x: x[:count] if x.ndim else x, stack)
        record = dataclasses.asdict(self.record)
        record |= {name: record[name][:count] for name in OF_RUNS}
        checkpoints.save(self.manager, unpadded, record, self.about)


@jax.jit
def means(sums):
    """Compute the means of TrainMetrics [R] for each run: a dict of arrays [R]."""
    return jax.vmap(lambda each: each.compute())(sums)


def add(so_far, values):
    """Add an array of values to a list of sums; what is not finite, of runs that stopped, is 0."""
    values = np.nan_to_num(values, posinf=0, neginf=0)
    return (values + so_far if so_far else values).tolist()
