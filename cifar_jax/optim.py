"""Optimizers and learning-rate schedules by name, with PyTorch's semantics.

An optimizer is an Optax chain that gives the descent direction; the learning rate, which is
schedule times plateau, is applied to it by the training step. PyTorch multiplies by the rate last
as well (SGD's momentum buffer does not contain it), so the order is the same.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax


def make_optimizer(name, momentum=0.0, weight_decay=0.0):
    """The direction of descent, before the learning rate.

    Args:
        name: "sgd" (torch.optim.SGD: momentum without dampening) or "adam" (torch.optim.Adam:
            betas 0.9 and 0.999, eps 1e-8 outside the root).
        momentum: of sgd.
        weight_decay: L2; added to the gradient first, for every parameter, as PyTorch does.
    Returns:
        optax.GradientTransformation.
    """
    chain = [optax.add_decayed_weights(weight_decay)] if weight_decay else []
    if name == "adam":
        chain.append(optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8))
    elif name == "sgd":
        chain += [optax.trace(decay=momentum)] if momentum else []
    else:
        raise ValueError(f"unknown optimizer {name!r}")
    return optax.chain(*chain) if chain else optax.identity()


def make_schedule(name, learning_rate, total_steps, warmup_steps=0):
    """Learning rate as a function of the step, plateau not included.

    Args:
        name: "constant", "plateau" (constant here; PlateauState scales it) or "cosine": to 0 at
            `total_steps` (Loshchilov and Hutter 2017, one period).
        learning_rate: the base rate.
        total_steps: length of the training.
        warmup_steps: linear from 0, counted in total_steps.
    Returns:
        step (int32 []) -> float32 [].
    """
    if name == "cosine":
        main = optax.cosine_decay_schedule(learning_rate, max(total_steps - warmup_steps, 1))
    elif name in ("constant", "plateau"):
        main = optax.constant_schedule(learning_rate)
    else:
        raise ValueError(f"unknown schedule {name!r}")
    if not warmup_steps:
        return main
    warmup = optax.linear_schedule(0.0, learning_rate, warmup_steps)
    return optax.join_schedules([warmup, main], [warmup_steps])


class PlateauState(NamedTuple):
    """State of ReduceLROnPlateau; the learning rate is the schedule's times `scale`."""

    scale: jax.Array  # float32 []
    best: jax.Array  # float32 []
    bad_epochs: jax.Array  # int32 []
    cooldown: jax.Array  # int32 []


def plateau_init(mode="min"):
    worst = jnp.inf if mode == "min" else -jnp.inf
    return PlateauState(jnp.float32(1.0), jnp.float32(worst), jnp.int32(0), jnp.int32(0))


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
