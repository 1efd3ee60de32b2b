"""Learning-rate schedules by name, with PyTorch's definitions, and the plateau.

A schedule is a factor of the base learning rate as a function of the step. The rate itself may then
be an array that a sweep maps over.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Plan(NamedTuple):
    """What a schedule needs to know; everything is counted in steps from the start of the training."""

    total_steps: int
    steps_per_epoch: int = 1
    warmup_steps: int = 0
    factor: float = 0.1  # multistep
    milestones: tuple[int, ...] = ()  # multistep, in epochs
    drop_factor: float = 0.1  # step
    drop_epochs: int = 10  # step


def constant(step, plan):
    """1; for "plateau" too, which PlateauState scales."""
    return jnp.ones_like(step)


def cosine(step, plan):
    """From 1 after the warm-up to 0 at the end: torch's CosineAnnealingLR (Loshchilov and Hutter 2017)."""
    length = max(plan.total_steps - plan.warmup_steps, 1)
    return _cosine_between(1.0, 0.0, jnp.minimum((step - plan.warmup_steps) / length, 1))


def linear(step, plan):
    """From 1 after the warm-up to 0 at the end: torch's LinearLR from 1 to 0."""
    length = max(plan.total_steps - plan.warmup_steps, 1)
    return 1 - jnp.minimum((step - plan.warmup_steps) / length, 1)


def every_epochs(step, plan):
    """Times drop_factor every drop_epochs epochs: MATLAB's "piecewise", torch's StepLR."""
    return plan.drop_factor ** (step // (plan.drop_epochs * plan.steps_per_epoch))


def at_milestones(step, plan):
    """Times factor at each milestone: torch's MultiStepLR."""
    starts = jnp.array(plan.milestones, step.dtype) * plan.steps_per_epoch
    return plan.factor ** jnp.sum(step >= starts).astype(step.dtype)


def one_cycle(step, plan, pct_start=0.3, div_factor=25.0, final_div_factor=1e4):
    """Up to 1 and down to almost 0: torch's OneCycleLR in its cosine form, without its momentum cycle.

    Smith and Topin, Super-Convergence, 2018, https://arxiv.org/abs/1708.07120
    """
    first, last = 1 / div_factor, 1 / div_factor / final_div_factor
    peak, end = pct_start * plan.total_steps - 1, plan.total_steps - 1
    up = _cosine_between(first, 1.0, step / peak if peak > 0 else step)
    down = _cosine_between(1.0, last, jnp.minimum((step - peak) / (end - peak), 1))
    return jnp.where(step <= peak, up, down)


def _cosine_between(first, last, fraction):
    return last + (first - last) / 2 * (1 + jnp.cos(jnp.pi * fraction))


SCHEDULES = {
    "constant": constant,
    "step": every_epochs,
    "multistep": at_milestones,
    "cosine": cosine,
    "linear": linear,
    "one_cycle": one_cycle,
    "plateau": constant,
}


def make_schedule(name, plan):
    """Factor of the learning rate as a function of the step, plateau not included.

    Args:
        name: of SCHEDULES.
        plan: Plan. A warm-up is linear from 0 and belongs to the epochs that are counted.
    Returns:
        step (int32 []) -> float32 [].
    Raises:
        ValueError: unknown name.
    """
    if name not in SCHEDULES:
        raise ValueError(f"unknown schedule {name!r}")

    def schedule(step):
        step = jnp.asarray(step, float)
        factor = SCHEDULES[name](step, plan)
        if plan.warmup_steps:
            factor = jnp.where(step < plan.warmup_steps, step / plan.warmup_steps, factor)
        return factor

    return schedule


class PlateauState(NamedTuple):
    """State of ReduceLROnPlateau; the learning rate is the schedule's times `scale`."""

    scale: jax.Array  # float32 []
    best: jax.Array  # float32 []
    bad_epochs: jax.Array  # int32 []
    cooldown: jax.Array  # int32 []


def plateau_init(mode="min"):
    worst = jnp.inf if mode == "min" else -jnp.inf
    return PlateauState(jnp.float32(1.0), jnp.float32(worst), jnp.int32(0), jnp.int32(0))


def plateau_scales(learning_rate, min_learning_rate=0.0, eps=1e-8):
    """What `plateau_update` needs of PyTorch's min_lr and eps, which are rates: a dict.

    Args:
        learning_rate: float [], the base rate.
        min_learning_rate: float.
        eps: float, PyTorch's default.
    """
    # A base rate of 0 stays 0, whatever its scale.
    base = jnp.where(learning_rate > 0, learning_rate, jnp.inf)
    return {"min_scale": min_learning_rate / base, "eps_scale": eps / base}


def plateau_update(
    state,
    metric,
    *,
    mode="min",
    factor=0.1,
    patience=10,
    threshold=1e-4,
    threshold_mode="rel",
    cooldown=0,
    min_scale=0.0,
    eps_scale=0.0,
):
    """One epoch of torch.optim.lr_scheduler.ReduceLROnPlateau, as a pure function.

    Args:
        state: PlateauState.
        metric: float [], the monitored value of this epoch.
        min_scale: min_lr / base learning rate.
        eps_scale: eps / base learning rate; a smaller change of the rate is not made.
    Returns:
        PlateauState.
    """
    sign = 1.0 if mode == "min" else -1.0
    # PyTorch's relative margin keeps the sign of `best`: below zero it asks for less. So here.
    relative = state.best * (1 - sign * threshold)
    bound = relative if threshold_mode == "rel" else state.best - sign * threshold
    better = metric < bound if mode == "min" else metric > bound
    best = jnp.where(better, metric, state.best)
    bad = jnp.where(better, 0, state.bad_epochs + 1)
    cooling = state.cooldown > 0
    left = jnp.where(cooling, state.cooldown - 1, state.cooldown)
    bad = jnp.where(cooling, 0, bad)
    drop = bad > patience
    lowered = jnp.maximum(state.scale * factor, min_scale)
    lowered = jnp.where(state.scale - lowered > eps_scale, lowered, state.scale)
    return PlateauState(
        scale=jnp.where(drop, lowered, state.scale).astype(jnp.float32),
        best=best.astype(jnp.float32),
        bad_epochs=jnp.where(drop, 0, bad).astype(jnp.int32),
        cooldown=jnp.where(drop, cooldown, left).astype(jnp.int32),
    )
