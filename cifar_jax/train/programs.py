"""Compiled programs: the steps of a log interval and the evaluation of a split, as a scan or as a loop."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from cifar_jax.machine.compilation import jit


class Programs(NamedTuple):
    """The compiled programs of a run."""

    compile: Callable  # (state, data, order, counts): compiles train_steps for such counts
    train_steps: Callable  # (state, data, order, count) -> (state, TrainMetrics of these steps)
    evaluate: Callable  # (variables, data) -> EvalMetrics
    epoch_order: Callable  # (key, epoch, count) -> int32 [count]


def make_programs(functions, form, sharding=None, replicated=None, jit_step=None):
    """Make programs of pure functions in the given form, compiled at first use.

    Args:
        functions: steps.Recipe, or what has the same methods: train_step and eval_step, with the metrics of no step
            and the order that they begin with, and eval_batch_size.
        form: "scan": the steps of a call are one lax.scan, one launch for an accelerator. "loop": a
            Python loop over one compiled step, since XLA's CPU back end runs the convolutions of a
            scan on one thread. Both give the same result.
        sharding: of everything that comes out: that of what goes in, or the second call would meet
            other shardings than the first and compile again.
        replicated: sharding of an array that every device holds whole; as `sharding` by default.
        jit_step: what compiles the training steps, such as spread.pmap of a mesh; `jit` by default.
    Returns:
        Programs. `train_steps` donates the state that it is given.
    """

    def jit_to(sharding):
        return functools.partial(jit, out_shardings=sharding) if sharding else jit

    jit_here = jit_to(sharding)
    jit_step = jit_step or jit_here
    order = jit_here(functions.epoch_order, static_argnames="count")

    def batches(data):
        return -(-data.labels.shape[0] // functions.eval_batch_size)

    if form == "scan":

        @functools.partial(jit_step, static_argnums=(3,), donate_argnums=(0,))
        def train_steps(state, data, order, count):
            def body(carry, _):
                return functions.train_step(*carry, data, order), None

            return jax.lax.scan(body, (state, functions.no_metrics()), length=count)[0]

        def compile_steps(state, data, order, counts):
            for count in counts:
                train_steps.lower(state, data, order, count).compile()

        @jit_here
        def evaluate(variables, data):
            def body(metrics, batch):
                return functions.eval_step(variables, metrics, data, batch), None

            return jax.lax.scan(body, functions.no_eval_metrics(), jnp.arange(batches(data)))[0]

    elif form == "loop":
        no_metrics, no_eval_metrics = (
            jit_here(functions.no_metrics),
            jit_here(functions.no_eval_metrics),
        )
        compiled_step = jit_step(functions.train_step, donate_argnums=(0, 1))

        def compile_steps(state, data, order, counts):
            compiled_step.lower(state, no_metrics(), data, order).compile()

        # The batch number lives on the device too: a Python int would be a transfer each step.
        eval_jit = jit_to(sharding and (sharding, replicated or sharding))

        @functools.partial(eval_jit, donate_argnums=1)
        def compiled_eval(variables, carry, data):
            metrics, batch = carry
            return functions.eval_step(variables, metrics, data, batch), batch + 1

        first_batch = jit_to(replicated or sharding)(lambda: jnp.int32(0))

        def train_steps(state, data, order, count):
            metrics = no_metrics()
            for _ in range(count):
                state, metrics = compiled_step(state, metrics, data, order)
            return state, metrics

        def evaluate(variables, data):
            carry = no_eval_metrics(), first_batch()
            for _ in range(batches(data)):
                carry = compiled_eval(variables, carry, data)
            return carry[0]

    else:
        raise ValueError(f"form is 'loop' or 'scan', not {form!r}")
    return Programs(compile_steps, train_steps, evaluate, order)
