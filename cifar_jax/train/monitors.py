"""Decisions by the validation set after an epoch: the plateau, early stopping, the best checkpoint.

Pure functions, so that a sweep can map them over its runs.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

# Reasons to stop early; 0 is false: the run goes on.
RUNNING, PATIENCE, GAP = range(3)


def mode_of(monitor):
    """Return "min" or "max", as less or more of a metric is better."""
    return "max" if monitor.endswith("accuracy") else "min"


def worst_of(mode):
    """Return the value that every metric improves on: float32 []."""
    return jnp.float32(jnp.inf if mode == "min" else -jnp.inf)


def score(config, validation):
    """Return the score by which config.checkpoint.monitor chooses the best checkpoint: greater is better."""
    by_loss = config.checkpoint.monitor == "validation_loss"
    return -validation["loss"] if by_loss else validation["accuracy"]


def decide(config, train_state, trained, validation):
    """Return the fields of TrainState that the validation set changes after an epoch: a dict.

    Args:
        config: checked ConfigDict.
        train_state: TrainState after the epoch.
        trained, validation: {"loss", "accuracy"} of the epoch and of the validation split.
    """
    changed, schedule, stopping = {}, config.schedule, config.early_stopping
    if schedule.name == "plateau":
        options = ("factor", "patience", "threshold", "threshold_mode", "cooldown")
        changed["plateau"] = plateau_update(
            train_state.plateau,
            _monitored(validation, schedule.monitor),
            mode=mode_of(schedule.monitor),
            **{name: schedule[name] for name in options},
            **plateau_scales(train_state.hyper.learning_rate, schedule.min_learning_rate),
        )
    if stopping.patience or stopping.max_gap:
        changed["early_stopping"] = stopping_update(
            train_state.early_stopping,
            _monitored(validation, stopping.monitor),
            jnp.float32(100 * (trained["accuracy"] - validation["accuracy"])),
            mode=mode_of(stopping.monitor),
            patience=stopping.patience,
            min_delta=stopping.min_delta,
            max_gap=stopping.max_gap,
        )
    return changed


def _monitored(validation, monitor):
    return jnp.float32(validation[monitor.removeprefix("validation_")])


class EarlyStoppingState(NamedTuple):
    """Part of TrainState, so that a resumed run stops where the uninterrupted one would."""

    best: jax.Array  # float32 [], of the monitored metric
    bad_epochs: jax.Array  # int32 [], since then
    reason: jax.Array  # int32 []: RUNNING, PATIENCE or GAP


def stopping_init(mode="min"):
    return EarlyStoppingState(worst_of(mode), jnp.int32(0), jnp.int32(RUNNING))


def stopping_update(state, metric, gap, *, mode, patience=0, min_delta=0.0, max_gap=0.0):
    """Return the state after an epoch. A run that has stopped stays as it is.

    Args:
        state: EarlyStoppingState.
        metric: float [], the monitored value of this epoch.
        gap: float [], training minus validation accuracy of this epoch, in percentage points.
        mode: "min" or "max".
        patience: stop after so many epochs in turn without an improvement; 0 = never.
        min_delta: an improvement is more than this.
        max_gap: stop when the gap is more than this; 0 = never.
    Returns:
        EarlyStoppingState.

    Prechelt, Early Stopping - But When?, 1998, https://doi.org/10.1007/3-540-49430-8_3
    """
    better = metric < state.best - min_delta if mode == "min" else metric > state.best + min_delta
    bad_epochs = jnp.where(better, 0, state.bad_epochs + 1)
    reason = jnp.int32(RUNNING)
    if max_gap:
        reason = jnp.where(gap > max_gap, GAP, reason)
    if patience:
        reason = jnp.where(bad_epochs >= patience, PATIENCE, reason)
    updated = EarlyStoppingState(
        best=jnp.where(better, metric, state.best).astype(jnp.float32),
        bad_epochs=bad_epochs.astype(jnp.int32),
        reason=reason.astype(jnp.int32),
    )
    return jax.tree.map(lambda new, old: jnp.where(state.reason, old, new), updated, state)


def stopping_reason(reason, options):
    """Say why a run has stopped; None for one that has not.

    Args:
        reason: int.
        options: config.early_stopping.
    """
    epochs = "1 epoch" if options.patience == 1 else f"{options.patience} epochs"
    return {
        RUNNING: None,
        PATIENCE: f"{options.monitor} did not improve in {epochs}",
        GAP: f"training accuracy is more than {options.max_gap:g} points above validation accuracy",
    }[int(reason)]


class PlateauState(NamedTuple):
    """State of ReduceLROnPlateau; the learning rate is the schedule's times `scale`."""

    scale: jax.Array  # float32 []
    best: jax.Array  # float32 []
    bad_epochs: jax.Array  # int32 []
    cooldown: jax.Array  # int32 []


def plateau_init(mode="min"):
    return PlateauState(jnp.float32(1.0), worst_of(mode), jnp.int32(0), jnp.int32(0))


def plateau_scales(learning_rate, min_learning_rate=0.0, eps=1e-8):
    """Return PyTorch's min_lr and eps, which are rates, as scales for `plateau_update`: a dict.

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
    """Do one epoch of torch.optim.lr_scheduler.ReduceLROnPlateau, as a pure function.

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
