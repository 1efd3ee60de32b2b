"""The arrays that a run's model is evaluated with, read from its checkpoints into NumPy."""

import contextlib
import functools
import operator
import pathlib
import re

import jax
import numpy as np
import orbax.checkpoint as ocp

from cifar_jax.errors import UserError
from cifar_jax.runs import checkpoints, checksums, damage, restoring, stacked

PARTS = ("params", "batch_stats", "averaged")  # of a state, that its model is evaluated with
BEST, LAST = ("best", "variables"), ("members", "state")  # where a sweep's Stack has them


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
    folder = pathlib.Path(workdir).expanduser()
    if (folder / "sweep.json").is_file():
        raise UserError(
            f"{workdir} is the folder of a sweep, whose checkpoints hold many runs at once; give that of one of its "
            f"runs, {folder / stacked.FOLDER / 'NAME'}: its runs.csv lists them"
        )
    place, arrays = None, folder / "checkpoints"
    if not arrays.is_dir():
        if (place := stacked.find(folder)) is None:
            raise UserError(f"{workdir} is no workdir of a run: it has no folder checkpoints")
        arrays = place.checkpoints
    if not re.fullmatch("best|last|[0-9]{1,18}", str(which)):
        raise UserError(f"--checkpoint is best, last or a step, not {str(which)[:40]!r}")
    with contextlib.closing(checkpoints.open_manager(arrays, read_only=True)) as manager:
        if place:
            return read_row(manager, place, which)
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
    try:
        _, about, sha256 = restoring.read_host(manager, step)
        state = _read_arrays(manager, step, (), PARTS)
        damage.check({name: checksums.of_tree(state[name]) for name in PARTS}, sha256)
    except Exception as error:  # Orbax raises many types
        raise damage.refusal(manager.at(step), error) from error
    return _variables(state), about


def read_row(manager, place, which):
    """Read a run out of the checkpoint of its group in a sweep.

    The checksums there are of all runs at once, so the files are held against the list of them, which was made when the
    checkpoint had been read back whole.

    Args:
        manager: of checkpoints.open_manager.
        place: stacked.Place.
        which: "best", "last" or the last one's step.
    Returns:
        (variables and `about` as of read_variables, the step).
    Raises:
        UserError: no such checkpoint, a damaged one, or one of another sweep.
    """
    step, row = place.step, place.row
    if step not in manager.all_steps():
        raise UserError(
            f"{manager.folder} has no checkpoint {step} with the end of {place.folder}; the sweep's command, given "
            "again, trains it anew"
        )
    try:
        damage.check_files(manager.at(step))
        _, group_about, _ = restoring.read_host(manager, step)
        stacked.check_group(place, group_about)
        last = int(_read_arrays(manager, step, LAST, ("step",))["step"][row])
        best_epoch = int(_read_arrays(manager, step, ("best",), ("epoch",))["epoch"][row])
        is_best = which == "best" and best_epoch  # the last where none was evaluated
        state = _read_arrays(manager, step, BEST if is_best else LAST, PARTS)
    except Exception as error:  # Orbax raises many types
        raise damage.refusal(manager.at(step), error) from error
    if which not in ("best", "last") and int(which) != last:
        raise UserError(f"{place.folder} has no checkpoint {which}; there are: best, {last}")
    variables = jax.tree.map(lambda x: x[row].copy(), _variables(state))
    return variables, place.about, best_epoch * place.steps_per_epoch if is_best else last


def _variables(state):
    return state["averaged"] or {name: state[name] for name in ("params", "batch_stats")}


def _read_arrays(manager, step, path, names):
    """Read some of a checkpoint's arrays, as NumPy's.

    Args:
        path: to a part of the state: names, each within the one before.
        names: within that part; {} of what is not there.
    """
    folder = manager.directory / str(step) / "state"
    with ocp.PyTreeCheckpointer() as reader:
        tree = functools.reduce(operator.getitem, path, reader.metadata(folder).item_metadata.tree)
        wanted = {name: tree.get(name) or {} for name in names}
        for name in reversed(path):
            wanted = {name: wanted}
        as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), wanted)
        options = ocp.args.PyTreeRestore(wanted, as_numpy, partial_restore=True)
        return functools.reduce(operator.getitem, path, reader.restore(folder, args=options))
