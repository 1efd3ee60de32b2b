"""The arrays that a run's model is evaluated with, read from its checkpoints into NumPy."""

import contextlib
import pathlib
import re

import jax
import numpy as np
import orbax.checkpoint as ocp

from cifar_jax.errors import UserError
from cifar_jax.runs import checkpoints, checksums, damage, restoring


def read_run(workdir, which):
    """Read what a run's model is evaluated with, and where it is from.

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
    with contextlib.closing(checkpoints.open_manager(folder, read_only=True)) as manager:
        step = find_step(manager, which)
        return *read_variables(manager, step), step


def find_step(manager, which):
    """Find the step of "best", of "last", or of an integer that has a checkpoint.

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
        raise UserError(f"{manager.folder} has no checkpoint {which}; there are: {kept}")
    return step


def read_variables(manager, step):
    """Read what a checkpoint's model is evaluated with, as NumPy arrays; needs no optimizer, device or config.

    Args:
        manager: of checkpoints.open_manager.
        step: of find_step.
    Returns:
        ({"params": ..., "batch_stats": ...}, `about` as given to checkpoints.save).
    Raises:
        UserError: the checkpoint is damaged, or can't be read for another reason.
    """
    folder = manager.directory / str(step) / "state"
    names = ("params", "batch_stats", "averaged")
    try:
        _, about, sha256 = restoring.read_host(manager, step)
        with ocp.PyTreeCheckpointer() as reader:
            tree = reader.metadata(folder).item_metadata.tree
            wanted = {name: tree.get(name) or {} for name in names}
            as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), wanted)
            options = ocp.args.PyTreeRestore(wanted, as_numpy, partial_restore=True)
            state = reader.restore(folder, args=options)
        damage.check({name: checksums.of_tree(state[name]) for name in names}, sha256)
    except Exception as error:  # Orbax raises many types
        raise damage.refusal(manager.at(step), error) from error
    trained = {"params": state["params"], "batch_stats": state["batch_stats"]}
    return state["averaged"] or trained, about
