"""Early stopping: a pure decision after each epoch, so that a sweep can map it over its runs."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

# Reasons; 0 is false: the run goes on.
RUNNING, PATIENCE, GAP = range(3)


class EarlyStoppingState(NamedTuple):
    """Part of TrainState, so that a resumed run stops where the uninterrupted one would."""

    best: jax.Array  # float32 [], of the monitored metric
    bad_epochs: jax.Array  # int32 [], since then
    reason: jax.Array  # int32 []: RUNNING, PATIENCE or GAP


def mode_of(monitor):
    """Whether less ("min") or more ("max") of a metric is better."""
    return "max" if monitor.endswith("accuracy") else "min"


def init(mode):
    """The state before the first epoch; `mode` is "min" or "max"."""
    worst = jnp.inf if mode == "min" else -jnp.inf
    return EarlyStoppingState(jnp.float32(worst), jnp.int32(0), jnp.int32(RUNNING))


def update(state, metric, gap, *, mode, patience=0, min_delta=0.0, max_gap=0.0):
    """The state after an epoch. A run that has stopped stays as it is.

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


def describe(reason, options):
    """Why a run has stopped, in words; None for one that has not.

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
