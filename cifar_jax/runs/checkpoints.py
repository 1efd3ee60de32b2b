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
import orbax.checkpoint as ocp

from cifar_jax.errors import UserError
from cifar_jax.machine import processes
from cifar_jax.machine.local_path import LocalPath
from cifar_jax.runs import checksums, damage, quiet_orbax, restoring
from cifar_jax.runs.restoring import restore

quiet_orbax.install()

# As long as any name is that Orbax and TensorStore give to a file, while they write it.
LONGEST = f"{'0' * 12}.orbax-checkpoint-tmp/state.orbax-checkpoint-tmp/ocdbt.process_0000/d/{'0' * 32}.__lock"


class Manager(ocp.CheckpointManager):
    """Orbax's manager, in a folder of any name, which knows which checkpoints were read back."""

    unread = None  # (step, state as jax.ShapeDtypeStructs) of the one written since
    read_back = None  # the step of the newest checkpoint that was read
    keys = None  # of restoring.read_back

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
    about = about | {"format": restoring.FORMAT}
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
        if whole or not restoring.is_like_one_that_was_read(manager, step):
            restoring.read_back(manager, step, shapes)
        restoring.list_files(manager.at(step))
        manager.unread, manager.read_back = None, step
    if manager.read_back is not None and manager.read_back == manager.latest_step():
        for step in set(manager.all_steps()) - {manager.read_back, manager.best_step()}:
            manager.delete(step)


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
    restoring.list_files(manager.at(step))
    manager.read_back = step
    return newest
