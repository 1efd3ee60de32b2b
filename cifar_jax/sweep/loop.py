"""The training of one group: the loop over epochs of train/loop.py, for many runs at once."""

import dataclasses
import math
import time

import jax
import numpy as np

from cifar_jax.machine import mesh as mesh_lib
from cifar_jax.machine import processes, runtime
from cifar_jax.runs import checkpoints
from cifar_jax.sweep import results
from cifar_jax.sweep import stack as stack_lib
from cifar_jax.train.loop import compile_steps, interval_length


@dataclasses.dataclass
class Record:
    """What the host has to know beside the Stack to go on; kept with each checkpoint."""

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
    """The runs, and the first ones again until they divide over the devices."""
    return [runs[i % len(runs)] for i in range(-(-len(runs) // devices) * devices)]


def save(manager, stack, count, record, about):
    """Starts writing the first `count` runs, the padding left out: it depends on the devices."""
    if processes.several():
        stack = mesh_lib.on_host(stack)
    kept = jax.tree.map(lambda x: x[:count] if x.ndim else x, stack)
    of_runs = {name: getattr(record, name)[:count] for name in OF_RUNS}
    checkpoints.save(manager, kept, dataclasses.asdict(record) | of_runs, about)


def restore(manager, start, count, mesh, say):
    """The newest whole checkpoint, padded like `start` and shared out over the mesh; `say` is told of damaged ones.

    Returns:
        (Stack, Record, about); what was given where there is no checkpoint, and about None.
    """
    # Whole on every device: the unpadded runs need not divide.
    whole = mesh_lib.replicated(mesh)
    template = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((count, *x.shape[1:])[: x.ndim], x.dtype, sharding=whole),
        start,
    )
    if (kept := checkpoints.restore_newest(manager, template, say)) is None:
        return start, Record(), None
    found, record, about = kept

    index = np.arange(len(start.members.diverged)) % count

    def pad(kept, like):
        return mesh_lib.put(kept[index] if like.ndim else kept, like.sharding)

    for name in OF_RUNS:
        record[name] = [record[name][i] for i in index] if record[name] else []
    return jax.tree.map(pad, found, start), Record(**record), about


def train(setup, group, stack, record, manager, about, log, caught):
    """Trains a group to the end, or until all its runs have stopped.

    Args:
        setup: Setup of the group.
        group: groups.Group.
        stack: Stack to start from; donated.
        record: Record that belongs to it; updated.
        manager: of checkpoints.open_manager.
        about: for the checkpoints: JSON-able dict.
        log: (rows, seconds of training) -> None, called after each epoch.
        caught: list that a signal is put into.
    Returns:
        the last Stack.
    Raises:
        runtime.Interrupted.
    """
    config, per_epoch, count = setup.config, setup.steps_per_epoch, len(group.runs)
    step = int(stack.step)
    end_epoch = stack_lib.make_end_epoch(config, setup.mesh)
    going = step < setup.total_steps and active(stack).any()
    if going:
        record.compile_seconds += compile_steps(setup, stack.members, stack.members.state.key)
    while going:
        epoch = step // per_epoch
        keys = stack.members.state.key
        orders = setup.programs.epoch_order(keys, epoch, len(setup.train.labels))
        while step // per_epoch == epoch:
            length = interval_length(setup, step)
            stack = interval(setup, stack, record, orders, length)
            step += length
            if step % per_epoch and processes.signal_of_any(caught):
                break
        due = (epoch + 1) % config.checkpoint.every_epochs == 0 or step == setup.total_steps
        if step % per_epoch == 0:
            seconds = record.epoch_seconds
            stack, rows = finish_epoch(setup, group, stack, record, end_epoch, due)
            log(rows, seconds)
        going = step < setup.total_steps and active(stack).any()
        stop = processes.signal_of_any(caught)
        if (due and step % per_epoch == 0) or not going or stop:
            save(manager, stack, count, record, about)
        if stop:
            break
    checkpoints.wait(manager)
    if number := processes.signal_of_any(caught):
        raise runtime.Interrupted(
            f"stopped by signal {number} at step {step:,} of a group; saved. The same command goes "
            "on from here.",
            number,
        )
    return stack


def active(stack):
    """Which runs have neither stopped nor diverged: NumPy bool [R]."""
    return mesh_lib.on_host(stack.members.active)


def interval(setup, stack, record, orders, length):
    """Trains so many steps and adds to the sums of the epoch; returns the Stack."""
    started = time.perf_counter()
    members, sums = setup.programs.train_steps(stack.members, setup.train, orders, length)
    values = mesh_lib.on_host(means(sums))
    seconds = time.perf_counter() - started
    record.train_seconds += seconds
    record.epoch_seconds += seconds
    record.epoch_steps += length
    record.epoch_loss = add(record.epoch_loss, length * values["loss"].astype(float))
    record.epoch_accuracy = add(record.epoch_accuracy, length * values["accuracy"].astype(float))
    # A run that has stopped keeps the rate of its last step.
    rates = values["learning_rate"].tolist()
    before = record.learning_rate or rates
    record.learning_rate = [
        new if math.isfinite(new) else old for new, old in zip(rates, before, strict=True)
    ]
    step = mesh_lib.put(stack.step + length, stack.step.sharding)
    return stack.replace(members=members, step=step)


@jax.jit
def means(sums):
    """What TrainMetrics [R] say of each run: a dict of arrays [R]."""
    return jax.vmap(lambda each: each.compute())(sums)


def add(so_far, values):
    """A list of sums with an array of values added; what is not finite, of runs that stopped, is 0."""
    values = np.nan_to_num(values, posinf=0, neginf=0)
    return (values + so_far if so_far else values).tolist()


def finish_epoch(setup, group, stack, record, end_epoch, due):
    """Evaluates on the validation split and lets every run decide for itself.

    Returns:
        (Stack, rows of results.epoch_rows).
    """
    epoch = int(stack.step) // setup.steps_per_epoch
    trained = {
        "loss": np.float32(np.divide(record.epoch_loss, record.epoch_steps)),
        "accuracy": np.float32(np.divide(record.epoch_accuracy, record.epoch_steps)),
    }
    evaluated = None
    if setup.validation is not None:
        evaluated = setup.programs.evaluate(stack.members.state.variables, setup.validation)
    on_devices = mesh_lib.put(trained, mesh_lib.over_devices(setup.mesh))
    stack = end_epoch(stack, on_devices, evaluated, due, epoch)
    rows = results.epoch_rows(setup, group, stack, record.learning_rate, trained, evaluated)
    record.epoch_steps, record.epoch_loss, record.epoch_accuracy = 0, [], []
    record.epoch_seconds = 0.0
    return stack, rows
