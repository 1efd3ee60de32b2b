"""Checkpoints through Orbax: written in the background, atomically; the best and the last are kept."""

import contextlib
import logging
import pathlib

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

# Orbax tells of every save in some ten lines at INFO and of harmless defaults at WARNING.
for _name in ("orbax", "absl"):
    logging.getLogger(_name).setLevel(logging.ERROR)


def open_manager(folder):
    """The checkpoints in a folder, each named by its step.

    Kept are the last one and the one with the greatest `score` (of equals, the later).

    Args:
        folder: made where missing.
    Returns:
        orbax.checkpoint.CheckpointManager; close it, or use `closing`.
    """

    def score(metrics):
        return metrics["score"]

    policy = checkpoint_managers.AnyPreservationPolicy(
        [
            checkpoint_managers.LatestN(1),
            checkpoint_managers.BestN(
                n=1, get_metric_fn=score, keep_checkpoints_without_metrics=False
            ),
        ]
    )
    options = ocp.CheckpointManagerOptions(
        best_fn=score,
        best_mode="max",
        preservation_policy=policy,
        cleanup_tmp_directories=True,  # what a killed process left half-written
    )
    return ocp.CheckpointManager(pathlib.Path(folder).absolute(), options=options)


closing = contextlib.closing


def save(manager, state, record, about, score=None):
    """Starts writing a checkpoint and returns; the arrays are copied first.

    Args:
        manager: of open_manager.
        state: TrainState.
        record: JSON-able dict that belongs to the state (what the host has to know to go on).
        about: JSON-able dict that tells where the checkpoint is from: config, versions, data.
        score: greater is better; None for a checkpoint that has not been evaluated.
    """
    manager.save(
        int(state.step),
        args=ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            record=ocp.args.JsonSave(record),
            about=ocp.args.JsonSave(about),
        ),
        metrics=None if score is None else {"score": float(score)},
        force=True,
    )


def restore(manager, template, step, sharding=None):
    """Reads a checkpoint onto this process's devices, whichever devices wrote it.

    Args:
        manager: of open_manager.
        template: TrainState of the same shapes and types.
        step: the checkpoint's step.
        sharding: where the arrays go; by default where the template's are.
    Returns:
        (TrainState, record).
    """
    abstract = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding or x.sharding), template
    )
    found = manager.restore(
        step,
        args=ocp.args.Composite(
            state=ocp.args.StandardRestore(abstract), record=ocp.args.JsonRestore()
        ),
    )
    return found.state, found.record
