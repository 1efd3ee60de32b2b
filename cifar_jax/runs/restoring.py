"""Reading a checkpoint: onto the devices, or back into the host's memory as soon as it is written.

All that is read is held against the checksums that its parts had in memory. A checkpoint of a later format is refused.
"""

import jax
import numpy as np
import orbax.checkpoint as ocp
import tensorstore as ts

from cifar_jax import __version__
from cifar_jax.errors import StorageError, UserError
from cifar_jax.machine import processes
from cifar_jax.runs import checksums, damage, quiet_orbax

# The number of what a checkpoint's parts are and mean. What an older version would read wrongly takes the next one, and
# a new version of the package with it; all earlier ones stay readable. A checkpoint that says none is of format 1.
FORMAT = 1


def restore(manager, template, step):
    """Read a checkpoint onto this process's devices, whichever devices wrote it.

    Args:
        manager: of checkpoints.open_manager.
        template: a state of the same shapes and types, where the arrays are to be.
        step: the checkpoint's step.
    Returns:
        (state, record, about), as given to checkpoints.save.
    Raises:
        Damaged: its bytes are not those that were saved.
        UserError: it can't be read for another reason, such as other fields of its state.
    """
    abstract = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), template
    )
    try:
        return _read(manager, step, ocp.args.StandardRestore(abstract))
    except Exception as error:  # Orbax raises many types
        raise damage.refusal(manager.at(step), error, template) from error


def read_back(manager, step, shapes):
    """Read all that was written, into the host's memory."""
    folder = manager.at(step)
    on_host = jax.tree.map(lambda x: np.empty(x.shape, x.dtype), shapes)
    try:
        _read(manager, step, ocp.args.StandardRestore(on_host))
    except damage.OtherSums as error:
        raise StorageError(
            f"{damage.Damaged(folder, str(error))} as soon as it is written; older ones are kept. See to the disk; the "
            "same command then goes on from the last checkpoint that is whole."
        ) from error
    except Exception as error:  # Orbax raises many types
        why = [damage.described(error), *quiet_orbax.unmerged]
        raise UserError(
            f"the checkpoint {folder} was written, but can't be read back ({'; '.join(why)}); older ones are kept"
        ) from error
    manager.keys = _keys(manager, step)


def is_like_one_that_was_read(manager, step):
    """Return whether a checkpoint's JSON is whole and its index has the keys that it should have; reads no array."""
    if checksums.wrong_file(manager.at(step)):
        return False
    return manager.keys is not None and _keys(manager, step) == manager.keys


def _keys(manager, step):
    """List the names of all that is stored of a checkpoint's arrays, sorted; None where its index can't be read."""
    base = {"driver": "file", "path": f"{manager.directory / str(step) / 'state'}/"}
    try:
        stored = ts.KvStore.open({"driver": "ocdbt", "base": base}).result()
        return sorted(stored.list().result())
    except Exception:  # of another format, which Orbax may read all the same
        return None


def list_files(folder):
    """List the files of a checkpoint that was read, so that damage can be told from all else."""
    if processes.is_first() and not checksums.has_list(folder):
        checksums.write_list(folder)


def _read(manager, step, state):
    """Read (state, record, about) of a checkpoint; raises whatever Orbax and damage.check do."""
    record, about, sha256 = read_host(manager, step)
    state = manager.restore(step, args=ocp.args.Composite(state=state)).state
    damage.check(checksums.of_state(state), sha256)
    return state, record, about


def read_host(manager, step):
    """Read what a checkpoint holds beside arrays.

    Returns:
        (record, about, checksums for damage.check).
    Raises:
        Exception: for damage.refusal.
    """
    about = manager.restore(step, args=ocp.args.Composite(about=ocp.args.JsonRestore())).about
    # First, as nobody knows what lies beside `about` in a later format.
    _check_format(manager.at(step), about)
    record = manager.restore(step, args=ocp.args.Composite(record=ocp.args.JsonRestore())).record
    sha256 = about.pop("sha256", {})
    damage.check({"host": checksums.of_json([record, about, manager.metrics(step)])}, sha256)
    about.pop("format", None)
    return record, about, sha256


def _check_format(folder, about):
    """Refuse a checkpoint of a later format; `about` as it was read.

    Raises:
        UserError: naming the version that wrote it.
    """
    number, writer = about.get("format", 1), about.get("versions", {}).get("cifar-jax")
    if number > FORMAT:
        raise UserError(
            f"the checkpoint {folder} was written by cifar_jax {writer} in format {number}, and this version, "
            f"{__version__}, reads formats up to {FORMAT}: use cifar_jax {writer} or a later one"
        )
