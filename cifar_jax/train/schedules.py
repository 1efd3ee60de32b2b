"""Learning-rate schedules by name, with PyTorch's definitions.

A schedule is a factor of the base learning rate as a function of the step. The rate itself may then
be an array that a sweep maps over.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from cifar_jax import plugins
from cifar_jax.errors import ConfigError, users_code
from cifar_jax.plugins import Made


class Plan(NamedTuple):
    """The numbers of a schedule; everything is counted in steps from the start of the training."""

    total_steps: int
    steps_per_epoch: int = 1
    warmup_steps: int = 0
    factor: float = 0.1  # multistep
    milestones: tuple[int, ...] = ()  # multistep, in epochs
    drop_factor: float = 0.1  # step
    drop_epochs: int = 10  # step


def constant(step, plan):
    """Return 1; for "plateau" too, which monitors.PlateauState scales."""
    return jnp.ones_like(step)


def cosine(step, plan):
    """Go from 1 after the warm-up to 0 at the end: torch's CosineAnnealingLR (Loshchilov and Hutter 2017)."""
    length = max(plan.total_steps - plan.warmup_steps, 1)
    return _cosine_between(1.0, 0.0, jnp.minimum((step - plan.warmup_steps) / length, 1))


def linear(step, plan):
    """Go from 1 after the warm-up to 0 at the end: torch's LinearLR from 1 to 0."""
    length = max(plan.total_steps - plan.warmup_steps, 1)
    return 1 - jnp.minimum((step - plan.warmup_steps) / length, 1)


def every_epochs(step, plan):
    """Multiply by drop_factor every drop_epochs epochs: MATLAB's "piecewise", torch's StepLR."""
    return plan.drop_factor ** (step // (plan.drop_epochs * plan.steps_per_epoch))


def at_milestones(step, plan):
    """Multiply by factor at each milestone: torch's MultiStepLR."""
    starts = jnp.array(plan.milestones, step.dtype) * plan.steps_per_epoch
    return plan.factor ** jnp.sum(step >= starts).astype(step.dtype)


def one_cycle(step, plan, pct_start=0.3, div_factor=25.0, final_div_factor=1e4):
    """Go up to 1 and down to almost 0: torch's OneCycleLR in its cosine form, without its momentum cycle.

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


def register(name: str) -> Callable[[Made], Made]:
    """Make a schedule of one's own one of that name: a decorator of (step, Plan) -> factor of the learning rate.

    `step` is a float32 [] of the program, so it is computed with jax.numpy; a warm-up is ours.

    Raises:
        ConfigError: the name is one of ours.
    """

    return plugins.registering("schedule", SCHEDULES, name)


def make_schedule(name, plan):
    """Make the factor of the learning rate as a function of the step, plateau not included.

    Args:
        name: of SCHEDULES.
        plan: Plan. A warm-up is linear from 0 and belongs to the epochs that are counted.
    Returns:
        step (int32 []) -> float32 [].
    Raises:
        ValueError: unknown name.
    """
    if not (function := plugins.find("schedule", SCHEDULES, name)):
        raise ValueError(f"unknown schedule {name!r}")

    def schedule(step):
        step = jnp.asarray(step, float)
        with users_code(f"schedule {name!r}"):
            factor = jnp.asarray(function(step, plan), step.dtype)
        if factor.shape:
            raise ConfigError(
                f"schedule {name!r} gives {list(factor.shape)} numbers, not one factor"
            )
        if plan.warmup_steps:
            factor = jnp.where(step < plan.warmup_steps, step / plan.warmup_steps, factor)
        return factor

    return schedule
