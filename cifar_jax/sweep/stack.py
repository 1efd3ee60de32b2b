"""The runs of a group as one pytree, and the pure functions that train them side by side.

Everything here is written for one member, a run, and mapped over the leading axis of runs. A member
that has stopped early or diverged stays as it is while the others go on.
"""

import functools
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from cifar_jax import metrics
from cifar_jax.machine import compilation
from cifar_jax.machine import mesh as mesh_lib
from cifar_jax.train import hyper, monitors, programs, state, steps
from cifar_jax.train.monitors import RUNNING
from cifar_jax.train.setup import initial_variables, state_options, with_variables


@flax.struct.dataclass
class TrialState:
    """A run; in a Stack each array has an axis of runs in front."""

    state: state.TrainState
    diverged: jax.Array  # int32 [], the step after which something was not finite; metrics.NEVER

    @property
    def key(self):
        return self.state.key

    @property
    def active(self):
        return (self.diverged == metrics.NEVER) & (self.state.early_stopping.reason == RUNNING)


@flax.struct.dataclass
class Best:
    """All that the best checkpoint of a run alone would hold."""

    variables: Any  # as of TrainState.variables; {} without a validation set
    score: jax.Array  # float32 [], greater is better
    epoch: jax.Array  # int32 [], from 1; 0 = none yet


@flax.struct.dataclass
class Stack:
    step: jax.Array  # int32 [], steps done by the members that have not stopped
    members: TrialState
    best: Best


def create(setup, configs, with_weights=True):
    """Make the Stack before the first step.

    Args:
        setup: Setup of the group.
        configs: of the members, a multiple of the devices.
        with_weights: of setup.initial_state.
    Returns:
        Stack, the runs shared out over the run's mesh.
    Raises:
        UserError: as of setup.initial_variables.
    """
    hypers = [hyper.from_config(config) for config in configs]
    # On the host, from where a program of several processes takes what all of them have.
    hypers = jax.tree.map(lambda *numbers: np.stack(numbers), *hypers)
    keys = np.stack([jax.random.PRNGKey(config.seed) for config in configs])
    given = initial_variables(setup) if with_weights else {}
    replicated = mesh_lib.replicated(setup.mesh)
    sharded = mesh_lib.over_devices(setup.mesh)
    keep_best = setup.validation is not None

    build = jax.vmap(functools.partial(initial_member, setup, keep_best), in_axes=(0, 0, None))
    build = compilation.jit_once(build, out_shardings=(sharded, sharded))
    members, best = build(hypers, keys, given)
    return Stack(mesh_lib.put(np.int32(0), replicated), members, best)


def initial_member(setup, keep_best, hypers, key, given):
    """Make the (TrialState, Best) of one run, a pure function; `given` is of setup.initial_variables."""
    start = state.initial_state(
        setup.recipe.model,
        setup.recipe.optimizer,
        hypers,
        key,
        setup.train.shape,
        **state_options(setup.config),
    )
    start = with_variables(start, given)
    variables = jax.tree.map(jnp.copy, start.variables) if keep_best else {}
    best = Best(variables, score=jnp.float32(-jnp.inf), epoch=jnp.int32(0))
    return TrialState(start, diverged=jnp.int32(metrics.NEVER)), best


def keep(condition, new, old):
    """Return `new` where the condition, bool [], holds, else `old`; pytrees."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)


def member_step(recipe, member, counted, data, order, planned=None):
    """Do steps.train_step of a member, or nothing where it has stopped.

    A loss that is not finite ends the run at once: its later steps are not done.

    Args:
        counted: TrainMetrics so far; the others as of steps.train_step.
    Returns:
        (TrialState, TrainMetrics).
    """
    stepped, summed = steps.train_step(recipe, member.state, counted, data, order, planned)
    diverged = jnp.minimum(member.diverged, summed.first_nonfinite.step)
    return keep(member.active, (TrialState(stepped, diverged), summed), (member, counted))


def member_plan(recipe, member, data, order, ahead):
    """Make steps.plan of a member."""
    return steps.plan(recipe, member.state, data, order, ahead)


def member_epoch(config, member, best, trained, evaluated, due, epoch):
    """End a run's epoch: decide on the plateau, early stopping and the best parameters.

    Args:
        config: of the group.
        member: TrialState.
        best: Best.
        trained: {"loss", "accuracy"} of the epoch, float32 [].
        evaluated: EvalMetrics of the validation split; None without.
        due: bool [], whether a run alone would make a checkpoint here, stopping early aside.
        epoch: int32 [], from 1.
    Returns:
        (TrialState, Best).
    """
    validation = None
    finite = jnp.array(steps.all_finite(member.state.params))
    if evaluated is not None:
        count = jnp.maximum(jnp.sum(evaluated.confusion), 1)
        validation = {
            "loss": evaluated.loss / count,
            "accuracy": jnp.trace(evaluated.confusion) / count,
        }
        finite &= jnp.isfinite(validation["loss"])
    diverged = jnp.where(finite, member.diverged, jnp.minimum(member.diverged, member.state.step))
    ended = TrialState(member.state, diverged)
    if validation:
        changed = monitors.decide(config, member.state, trained, validation)
        ended = TrialState(member.state.replace(**changed), diverged)
        score = monitors.score(config, validation)
        candidate = due | (ended.state.early_stopping.reason != RUNNING)
        # Of equals the later, as checkpoints.open_manager keeps them.
        better = member.active & finite & candidate & (score >= best.score)
        best = keep(better, Best(member.state.variables, score, jnp.int32(epoch)), best)
    return keep(member.active, ended, member), best


def make_end_epoch(config, mesh):
    """Compile member_epoch over the runs.

    Returns:
        (Stack, trained [R], evaluated [R], due, epoch) -> Stack; donates the first.
    """
    over = jax.vmap(functools.partial(member_epoch, config), in_axes=(0, 0, 0, 0, None, None))
    sharded, replicated = mesh_lib.over_devices(mesh), mesh_lib.replicated(mesh)

    @functools.partial(jax.jit, donate_argnums=0, out_shardings=Stack(replicated, sharded, sharded))
    def end_epoch(stack, trained, evaluated, due, epoch):
        members, best = over(stack.members, stack.best, trained, evaluated, due, epoch)
        return Stack(stack.step, members, best)

    return end_epoch


class StackedSteps:
    """The steps of so many runs as one, for programs.make_programs: each array has an axis of runs, but for the data.

    Over a mesh each device computes its own runs and nothing else: there is no sharding left to XLA's guess, which
    for convolutions with a kernel a run is to gather them all.
    """

    def __init__(self, recipe, runs, mesh=None):
        self._recipe, self._runs, self.eval_batch_size = recipe, runs, recipe.eval_batch_size
        member = functools.partial(member_step, recipe)
        self._train_step = jax.vmap(member, in_axes=(0, 0, None, 0, 0))
        plan = functools.partial(member_plan, recipe)
        self.plan = jax.vmap(plan, in_axes=(0, None, 0, None))
        self.eval_step = jax.vmap(recipe.eval_step, in_axes=(0, 0, None, None))
        if mesh and mesh.size > 1:
            own, whole = PartitionSpec(mesh_lib.AXIS), PartitionSpec()
            shard_map = functools.partial(jax.shard_map, mesh=mesh, out_specs=own, check_vma=False)
            self._train_step = shard_map(self._train_step, in_specs=(own, own, whole, own, own))
            self.plan = shard_map(self.plan, in_specs=(own, whole, own, whole))
            self.eval_step = shard_map(self.eval_step, in_specs=(own, own, whole, whole))

    def train_step(self, members, counted, data, orders, planned=None):
        return self._train_step(members, counted, data, orders, planned)

    def no_metrics(self):
        return self._of_each(self._recipe.no_metrics())

    def no_eval_metrics(self):
        return self._of_each(self._recipe.no_eval_metrics())

    def _of_each(self, metrics):
        return jax.tree.map(lambda x: jnp.broadcast_to(x, (self._runs, *x.shape)), metrics)

    def epoch_order(self, keys, epoch, count):
        return jax.vmap(lambda key: steps.epoch_order(key, epoch, count))(keys)


def takes_turns():
    """Return whether the runs take turns, interval by interval, rather than being one batched program.

    So on one CPU device: batched, runs of basic_net and modified_net took 1.9 to 2.8 times as long as
    one after the other at batch 128, from four runs on; at batch 8 four took 0.80 to 0.95 times as long,
    but sixteen 1.1 and sixty-four 1.6 to 1.8 (benchmarks/results/sweep.jsonl, median of 5 rounds on 2
    cores of an AMD EPYC, jax 0.10.2, before max pooling was made faster).
    """
    return jax.default_backend() == "cpu" and jax.device_count() == 1


def make_programs(recipe, mesh, runs, turns=False):
    """Make the programs of so many runs.

    Args:
        recipe: steps.Recipe.
        mesh: shares out the runs, a multiple of its devices.
        runs: int.
        turns: whether the runs take turns, each by the program of a run alone, so that its numbers
            are that run's bit for bit; for one device.
    Returns:
        programs.Programs; states and metrics have an axis of runs, an order is [runs, N].
    """
    if turns:
        one = steps.make_programs(recipe, mesh_lib.replicated(mesh))
        return in_turns(one, StackedSteps(recipe, runs), runs)
    stacked = StackedSteps(recipe, runs, mesh)
    return programs.make_programs(stacked, mesh_lib.over_devices(mesh))


def in_turns(one, stacked, runs):
    """Make the Programs of many runs that call those of one run for each in turn.

    One that diverges does so to the end of the interval, and is left out of the next.

    Args:
        one: programs.Programs of a run.
        stacked: StackedSteps of all.
        runs: int.
    """
    no_metrics, no_eval_metrics = jax.jit(stacked.no_metrics), jax.jit(stacked.no_eval_metrics)
    take, give = jax.jit(pick), jax.jit(put, donate_argnums=0)

    def compile_steps(members, data, orders, counts):
        one.compile(take(members.state, 0), data, orders[0], counts)

    def train_steps(members, data, orders, count):
        metrics, going = no_metrics(), jax.device_get(members.active)
        for run in np.flatnonzero(going):
            member, order = take((members, orders), run)
            state, counted = one.train_steps(member.state, data, order, count)
            diverged = jnp.minimum(member.diverged, counted.first_nonfinite.step)
            members, metrics = give((members, metrics), (TrialState(state, diverged), counted), run)
        return members, metrics

    def evaluate(variables, data):
        metrics = no_eval_metrics()
        for run in range(runs):
            metrics = give(metrics, one.evaluate(take(variables, run), data), run)
        return metrics

    order = jax.jit(stacked.epoch_order, static_argnames="count")
    return programs.Programs(compile_steps, train_steps, evaluate, order)


def pick(tree, index):
    """Return the index'th run of a pytree with an axis of runs."""
    return jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, index, keepdims=False), tree)


def put(tree, one, index):
    """Return the pytree with its index'th run replaced."""
    return jax.tree.map(lambda x, y: jax.lax.dynamic_update_index_in_dim(x, y, index, 0), tree, one)
