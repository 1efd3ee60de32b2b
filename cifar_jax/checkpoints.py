"""Checkpoints through Orbax: written in the background, atomically; the best and the last are kept."""

import contextlib
import logging
import pathlib
import re

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from cifar_jax.errors import UserError

# Orbax tells of every save in some ten lines at INFO and of harmless defaults at WARNING.
for _name in ("orbax", "absl"):
    logging.getLogger(_name).setLevel(logging.ERROR)


def open_manager(folder):
    """The checkpoints in a folder, each named by its step.

    Kept are the last one and the one with the greatest `score` (of equals, the later).

    Args:
        folder: made where missing.
    Returns:
        orbax.checkpoint.CheckpointManager; close it after use.
    Raises:
        UserError: the folder can't be used.
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
    folder = pathlib.Path(folder).absolute()
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, not a folder of checkpoints; move it away")
    try:
        return ocp.CheckpointManager(folder, options=options)
    except Exception as error:  # Orbax reads the scores of all, and raises many types
        raise UserError(
            f"the checkpoints in {folder} can't be read ({type(error).__name__}: {_line(error)}): one of them is "
            "damaged; move its folder away"
        ) from error


def _line(error):
    return " ".join(str(error).split())[:200]


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


def restore(manager, template, step):
    """Reads a checkpoint onto this process's devices, whichever devices wrote it.

    Args:
        manager: of open_manager.
        template: TrainState of the same shapes and types, where the arrays are to be.
        step: the checkpoint's step.
    Returns:
        (TrainState, record, about), as given to `save`.
    Raises:
        UserError: the checkpoint is damaged, or its state has other fields.
    """
    abstract = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), template
    )
    try:
        found = manager.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(abstract),
                record=ocp.args.JsonRestore(),
                about=ocp.args.JsonRestore(),
            ),
        )
    except Exception as error:  # Orbax raises many types
        folder = manager.directory / str(step)
        raise UserError(
            f"the checkpoint {folder} can't be read ({type(error).__name__}): it is damaged, or of "
            "another version of cifar_jax. Move that folder away; the run then goes on from the "
            "checkpoint before it, or from the start."
        ) from error
    return found.state, found.record, found.about


def find_step(manager, which):
    """The step of "best", of "last", or of an integer that has a checkpoint.

    Raises:
        UserError: there is none.
    """
    if which == "best":
        step = manager.best_step()  # The last where none was evaluated.
        step = manager.latest_step() if step is None else step
    else:
        step = manager.latest_step() if which == "last" else int(which)
    if step not in manager.all_steps():
        kept = ", ".join(map(str, manager.all_steps())) or "none"
        raise UserError(f"{manager.directory} has no checkpoint {which}; there are: {kept}")
    return step


def read_run(workdir, which):
    """What a run's model is evaluated with, and where it is from.

    Args:
        workdir: folder of the run.
        which: "best", "last" or a step, a number or its digits.
    Returns:
        (variables and `about` as of read_variables, the step).
    Raises:
        UserError: no such run or checkpoint, or a damaged one.
    """
    folder = pathlib.Path(workdir).expanduser() / "checkpoints"
    if (folder.parent / "sweep.json").is_file():
        raise UserError(
            f"{workdir} is the folder of a sweep, whose checkpoints hold many runs at once; give that of a "
            "run of cifar_jax.main"
        )
    if not folder.is_dir():
        raise UserError(f"{workdir} is no workdir of a run: it has no folder checkpoints")
    if not re.fullmatch("best|last|[0-9]{1,18}", str(which)):
        raise UserError(f"--checkpoint is best, last or a step, not {str(which)[:40]!r}")
    with contextlib.closing(open_manager(folder)) as manager:
        step = find_step(manager, which)
        return *read_variables(manager, step), step


def read_variables(manager, step):
    """What a checkpoint's model is evaluated with, as NumPy arrays: no optimizer, no device, no config is needed.

    Args:
        manager: of open_manager.
        step: of find_step.
    Returns:
        ({"params": ..., "batch_stats": ...}, `about` as given to `save`).
    Raises:
        UserError: the checkpoint is damaged.
    """
    folder = manager.directory / str(step)
    names = ("params", "batch_stats", "averaged")
    try:
        with ocp.PyTreeCheckpointer() as reader:
            tree = reader.metadata(folder / "state").item_metadata.tree
            wanted = {name: tree.get(name) or {} for name in names}
            as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), wanted)
            options = ocp.args.PyTreeRestore(wanted, as_numpy, partial_restore=True)
            found = reader.restore(folder / "state", args=options)
        about = manager.restore(step, args=ocp.args.Composite(about=ocp.args.JsonRestore())).about
    except Exception as error:  # Orbax raises many types
        raise UserError(
            f"the checkpoint {folder} can't be read ({type(error).__name__}): it is damaged, or of another "
            "version of cifar_jax"
        ) from error
    trained = {"params": found["params"], "batch_stats": found["batch_stats"]}
    return found["averaged"] or trained, about
