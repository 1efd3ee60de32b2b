"""Checkpoints through Orbax: written in the background, atomically; the best and the last are kept.

Nothing older is deleted before a new one was read back. A checkpoint carries checksums of its parts and a list of its
files. A training goes on from the newest one that is whole. One whose bytes are shown to be wrong is renamed,
STEP.damaged, which Orbax takes for none of its own and so never deletes; one that can't be read for any other reason is
left as it is, and ends the run.
"""

import contextlib
import functools
import os
import pathlib
import re
import tempfile

import jax
import numpy as np
import orbax.checkpoint as ocp
import tensorstore as ts

from cifar_jax import __version__
from cifar_jax.errors import StorageError, UserError
from cifar_jax.machine import processes
from cifar_jax.machine.local_path import LocalPath
from cifar_jax.runs import checksums, damage, quiet_orbax

quiet_orbax.install()

# The number of what a checkpoint's parts are and mean. What an older version would read wrongly takes the next one, and
# a new version of the package with it; all earlier ones stay readable. A checkpoint that says none is of format 1.
FORMAT = 1

# As long as any name is that Orbax and TensorStore give to a file, while they write it.
LONGEST = f"{'0' * 12}.orbax-checkpoint-tmp/state.orbax-checkpoint-tmp/ocdbt.process_0000/d/{'0' * 32}.__lock"


class Manager(ocp.CheckpointManager):
    """Orbax's manager, in a folder of any name, which knows which checkpoints were read back."""

    unread = None  # (step, state as jax.ShapeDtypeStructs) of the one written since
    read_back = None  # the step of the newest checkpoint that was read
    keys = None  # of `_keys`, of one that was read whole

    def __init__(self, folder, options):
        self.folder, self._alias, path = folder, None, folder
        if _has_alias(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._alias = tempfile.TemporaryDirectory(prefix="cifar_jax_")
            path = pathlib.Path(self._alias.name) / "checkpoints"
            path.symlink_to(folder)
        super().__init__(LocalPath(path), options=options)

    def at(self, step):
        """Return the folder of a checkpoint."""
        return self.folder / str(step)

    def close(self):
        super().close()
        if self._alias:
            self._alias.cleanup()


def _has_alias(folder):
    """Return whether TensorStore would go to another folder: it takes UTF-8 only, \\ for / and :/ for a URL."""
    try:
        return any(each in f"{folder}/".encode() for each in (b"\\", b":/"))
    except UnicodeEncodeError:
        return True


def open_manager(folder, read_only=False):
    """Open the checkpoints in a folder, each named by its step.

    Kept are the last one and the one with the greatest `score` (of equals, the later).

    Args:
        folder: made where missing.
        read_only: for a folder that a training may be writing to: nothing in it is changed.
    Returns:
        Manager; close it after use.
    Raises:
        UserError: the folder can't be used.
    """

    options = ocp.CheckpointManagerOptions(
        best_fn=lambda metrics: metrics["score"],
        best_mode="max",
        max_to_keep=None,  # what is not needed is deleted in `wait`
        cleanup_tmp_directories=not read_only,  # what a killed process left half-written
        read_only=read_only,
    )
    folder = pathlib.Path(folder).absolute()
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, not a folder of checkpoints; move it away")
    for step in damage.steps_in(folder):
        if part := damage.unreadable_part(folder / str(step)):
            raise damage.left_to_the_user(damage.refusal(folder / str(step), part))
    jax.devices()  # a JAX without any says so itself, which is no matter of checkpoints
    try:
        return Manager(folder, options)
    except Exception as error:  # Orbax looks into all of them, and raises many types
        for step in damage.steps_in(folder):
            if wrong := checksums.wrong_file(folder / str(step)):
                raise damage.left_to_the_user(damage.Damaged(folder / str(step), wrong)) from error
        raise UserError(
            f"the checkpoints in {folder} can't be read here ({damage.described(error)}); nothing in them was changed"
        ) from error


@contextlib.contextmanager
def opened(folder, say):
    """Open the checkpoints of a training, of which there may be damaged ones.

    Args:
        folder: made where missing.
        say: told of a damaged newest checkpoint, which is moved aside.
    Yields:
        Manager, closed at the end.
    Raises:
        UserError: the folder can't be used, or what was written can't be read back.
        OSError: a checkpoint couldn't be written.
    """
    folder = pathlib.Path(folder).absolute()
    with contextlib.suppress(FileNotFoundError):
        os.lstat(folder / LONGEST)  # too long is said before anything is computed
    processes.in_turns(lambda: _set_aside_unreadable(folder, say))
    manager = open_manager(folder)
    try:
        yield manager
    except BaseException:
        with contextlib.suppress(Exception):  # it is the same once more, or less than what happened
            manager.close()
        raise
    try:
        wait(manager)
    finally:
        manager.close()


def _set_aside_unreadable(folder, say):
    while (steps := damage.steps_in(folder)) and (
        part := damage.unreadable_part(folder / str(steps[-1]))
    ):
        error = damage.refusal(folder / str(steps[-1]), part)
        if not isinstance(error, damage.Damaged):
            raise error
        damage.set_aside(folder, steps[-1], error.why, say)


def save(manager, state, record, about, score=None):
    """Start writing a checkpoint and return; the arrays are copied first.

    Args:
        manager: of open_manager.
        state: a dataclass of pytrees with an integer `step`: TrainState, or a sweep's Stack.
        record: JSON-able dict that belongs to the state: all else that the host needs to go on.
        about: JSON-able dict that tells where the checkpoint is from: config, versions, data.
        score: greater is better; None for a checkpoint that has not been evaluated.
    Raises:
        OSError: this checkpoint, or the one before, couldn't be written.
        UserError: the one before can't be read back.
    """
    wait(manager, whole=False)
    step, metrics = int(state.step), None if score is None else {"score": float(score)}
    about = about | {"format": FORMAT}
    sha256 = checksums.of_state(state) | {
        "structure": checksums.of_structure(state),
        "host": checksums.of_json([record, about, metrics]),
    }
    with _os_errors():
        manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state),
                record=ocp.args.JsonSave(record),
                about=ocp.args.JsonSave(about | {"sha256": sha256}),
            ),
            metrics=metrics,
            force=True,
        )
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), state)
    manager.unread = step, shapes


def wait(manager, whole=True):
    """Wait until the checkpoint that is being written, if any, is complete and was read back.

    Then all but the best and the last are deleted, also those that a training left which was killed before it did.

    Args:
        manager: of open_manager.
        whole: False for one of many: once one was read with all its arrays it is enough that the same is stored, by
            TensorStore's index, whose checksums it compares. To read small arrays takes longer than to train an epoch
            on them is worth.
    Raises:
        OSError: it couldn't be written.
        UserError: it can't be read back.
        StorageError: other bytes are read back than were written.
    """
    with _os_errors():
        manager.wait_until_finished()
    if manager.unread:
        step, shapes = manager.unread
        if whole or not _is_like_one_that_was_read(manager, step):
            _read_back(manager, step, shapes)
        _note(manager.at(step))
        manager.unread, manager.read_back = None, step
    if manager.read_back is not None and manager.read_back == manager.latest_step():
        for step in set(manager.all_steps()) - {manager.read_back, manager.best_step()}:
            manager.delete(step)


def _is_like_one_that_was_read(manager, step):
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


def _read_back(manager, step, shapes):
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


def _note(folder):
    """List the files of a checkpoint that was read, so that damage can be told from all else."""
    if processes.is_first() and not checksums.has_list(folder):
        checksums.write_list(folder)


@contextlib.contextmanager
def _os_errors():
    """Turn TensorStore's ValueError of a system that refuses to write into the OSError that it was."""
    try:
        yield
    except ValueError as error:
        if not (code := re.search(r"os_error_code='(\d+)'", str(error))):
            raise
        number = int(code[1])
        raise OSError(number, os.strerror(number)) from error


def restore_newest(manager, template, say):
    """Read the newest checkpoint that is whole; newer ones, which are damaged, are moved aside.

    Args:
        manager: of `opened`.
        template: as of `restore`.
        say: told of each damaged checkpoint.
    Returns:
        (state, record, about), or None where there is no checkpoint.
    Raises:
        UserError: a checkpoint can't be read for another reason than damage; or an older one, that is the best, is
            damaged.
    """
    while (step := manager.latest_step()) is not None:
        try:
            newest = restore(manager, template, step)
            break
        except damage.Damaged as error:
            damaged = manager.folder, step, error.why, say
            processes.in_turns(functools.partial(damage.set_aside, *damaged))
            manager.reload()
    else:
        return None
    best = manager.best_step()
    if best not in (step, None):
        try:
            restore(manager, template, best)
        except damage.Damaged as error:
            # What comes after it can't make it again, so the run would end with another result.
            raise UserError(
                f"{error}, and it was the best one. Move that folder away to go on from step {step:,} with the best "
                "of the later ones, or start anew in another --workdir."
            ) from error
    _note(manager.at(step))
    manager.read_back = step
    return newest


def restore(manager, template, step):
    """Read a checkpoint onto this process's devices, whichever devices wrote it.

    Args:
        manager: of open_manager.
        template: a state of the same shapes and types, where the arrays are to be.
        step: the checkpoint's step.
    Returns:
        (state, record, about), as given to `save`.
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
    if isinstance(number, int) and number > FORMAT:
        raise UserError(
            f"the checkpoint {folder} was written by cifar_jax {writer} in format {number}, and this version, "
            f"{__version__}, reads formats up to {FORMAT}: use cifar_jax {writer} or a later one"
        )
