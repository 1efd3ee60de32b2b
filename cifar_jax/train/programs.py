"""Compiled programs: the steps of a log interval, and the evaluation of a split, each as one program."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from cifar_jax.machine.compilation import jit, jit_once
from cifar_jax.models.ops import choice
from cifar_jax.train.packing import packing


class Programs(NamedTuple):
    """The compiled programs of a run."""

    compile: Callable  # (state, data, order, counts): compiles train_steps for such counts
    # (state, data, order, count, sums=None) -> (state, TrainMetrics of these steps, added to such sums)
    train_steps: Callable
    evaluate: Callable  # (variables, data) -> EvalMetrics
    epoch_order: Callable  # (key, epoch, count) -> int32 [count]
    any_count: bool = False  # whether one program serves any number of steps, to the same bits


def make_programs(functions, sharding=None, jit_step=None, packed=False):
    """Make programs of pure functions, compiled at first use.

    Args:
        functions: steps.Recipe, or what has the same methods: train_step and eval_step, with the plan, the metrics of
            no step and the order that they begin with, and eval_batch_size.
        sharding: of everything that comes out: that of what goes in, or the second call would meet
            other shardings than the first and compile again.
        jit_step: what compiles the training steps, such as spread.pmap of a mesh; `jit` by default.
        packed: whether the training steps carry small arrays as one; see `packing`.
    Returns:
        Programs. `train_steps` donates the state and the sums that it is given.
    """
    placed = {"out_shardings": sharding} if sharding else {}
    jit_here, jit_once_here = (functools.partial(each, **placed) for each in (jit, jit_once))
    # One program serves any number of steps on the CPU. A GPU's host would look after each step whether another one
    # follows, so there each number has a program.
    static = () if choice.on_cpu() else (3,)

    no_metrics = jit_here(functions.no_metrics)

    @functools.partial(jit_step or jit_here, static_argnums=static, donate_argnums=(0, 4))
    def train_steps(state, data, order, count, sums):
        plans = None
        if static:
            # A GPU launches a kernel for each number that a step draws: those of all steps are drawn at once.
            plan = functools.partial(functions.plan, state, data, order)
            plans = jax.vmap(plan)(jnp.arange(count))

        pack, unpack = packing((state, sums)) if packed else (_as_it_is, _as_it_is)

        def step(number, carry):
            planned = jax.tree.map(lambda each: each[number], plans)
            return pack(functions.train_step(*unpack(carry), data, order, planned))

        return unpack(jax.lax.fori_loop(0, count, step, pack((state, sums))))

    def from_nothing(state, data, order, count, sums=None):
        return train_steps(state, data, order, count, no_metrics() if sums is None else sums)

    def lower(state, data, order, count):
        return train_steps.lower(state, data, order, count, no_metrics.eval_shape())

    from_nothing.lower = lower

    def compile_steps(state, data, order, counts):
        for count in counts if static else counts[:1]:
            train_steps.lower(state, data, order, count, no_metrics()).compile()

    @jit_here
    def evaluate(variables, data):
        def step(batch, metrics):
            return functions.eval_step(variables, metrics, data, batch)

        batches = -(-data.labels.shape[0] // functions.eval_batch_size)
        return jax.lax.fori_loop(0, batches, step, functions.no_eval_metrics())

    order = jit_once_here(functions.epoch_order, static_argnames="count")
    return Programs(compile_steps, from_nothing, evaluate, order, not static)


def _as_it_is(tree):
    return tree
