"""Checkpoints through Orbax: written in the background, atomically; the best and the last are kept.

A checkpoint carries checksums of its parts. A training goes on from the newest one that is whole; a damaged one is
renamed, STEP.damaged, which Orbax takes for none of its own and so never deletes.
"""

import contextlib
import datetime
import functools
import json
import os
import pathlib
import re

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from cifar_jax import __version__, checksums, cluster, quiet_orbax
from cifar_jax.errors import UserError

quiet_orbax.install()

# The number of what a checkpoint's parts are and mean. What an older version would read wrongly takes the next one, and
# a new version of the package with it; all earlier ones stay readable. A checkpoint that says none is of format 1.
FORMAT = 1


class Damaged(UserError):
    """A checkpoint is not what was written."""

    def __init__(self, folder, why):
        why = why if isinstance(why, str) else f"{type(why).__name__}: {_line(why)}"
        super().__init__(f"the checkpoint {folder} is damaged ({why})")
        self.why = why


def open_manager(folder, read_only=False):
    """The checkpoints in a folder, each named by its step.

    Kept are the last one and the one with the greatest `score` (of equals, the later).

    Args:
        folder: made where missing.
        read_only: for a folder that a training may be writing to: nothing in it is changed.
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
        cleanup_tmp_directories=not read_only,  # what a killed process left half-written
        read_only=read_only,
    )
    folder = pathlib.Path(folder).absolute()
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, not a folder of checkpoints; move it away")
    for step in _steps(folder):
        if why := _unreadable(folder / str(step)):
            raise UserError(f"{Damaged(folder / str(step), why)}; move that folder away")
    try:
        return ocp.CheckpointManager(folder, options=options)
    except Exception as error:  # Orbax looks into all of them, and raises many types
        raise UserError(
            f"the checkpoints in {folder} can't be read ({type(error).__name__}: {_line(error)}): one of them is "
            "damaged; move its folder away"
        ) from error


def _line(error):
    return " ".join(str(error).split())[:200]


def _steps(folder):
    """The steps that have a checkpoint, whole or not."""
    return sorted(int(each.name) for each in folder.glob("*") if each.name.isdecimal())


def _unreadable(folder):
    """Which part of a checkpoint, that Orbax has to read before it opens any, is damaged: words; "" for none."""
    parts = {
        "its score": ("metrics/metrics", lambda found: found["score"] + 0.0),
        "its date": (
            "_CHECKPOINT_METADATA",
            lambda found: datetime.datetime.fromtimestamp(found["commit_timestamp_nsecs"] / 1e9),
        ),
    }
    for name, (file, read) in parts.items():
        try:
            read(json.loads((folder / file).read_text()))
        except FileNotFoundError:  # never given, or Orbax does without
            continue
        except (OSError, ValueError, TypeError, KeyError, OverflowError):
            return name
    return ""


@contextlib.contextmanager
def opened(folder, say):
    """The checkpoints of a training, of which there may be damaged ones.

    Args:
        folder: made where missing.
        say: told of a damaged newest checkpoint, which is moved aside.
    Yields:
        orbax.checkpoint.CheckpointManager, closed at the end.
    Raises:
        UserError: the folder can't be used.
        OSError: a checkpoint couldn't be written.
    """
    folder = pathlib.Path(folder).absolute()
    cluster.in_turns(lambda: _set_aside_unreadable(folder, say))
    manager = open_manager(folder)
    try:
        yield manager
    except BaseException:
        with contextlib.suppress(Exception):  # it is the same once more, or less than what happened
            manager.close()
        raise
    wait(manager)
    manager.close()


def _set_aside_unreadable(folder, say):
    while (steps := _steps(folder)) and (why := _unreadable(folder / str(steps[-1]))):
        _set_aside(folder, steps[-1], why, say)


def _set_aside(folder, step, why, say):
    """Renames a damaged checkpoint and says so, unless another process has."""
    if not (folder / str(step)).exists():
        return
    number, kept = 1, folder / f"{step}.damaged"
    while kept.exists():
        number += 1
        kept = folder / f"{step}.damaged-{number}"
    damaged = Damaged(folder / str(step), why)
    (folder / str(step)).rename(kept)
    say(f"{damaged}; it is kept as {kept.name}")


def save(manager, state, record, about, score=None):
    """Starts writing a checkpoint and returns; the arrays are copied first.

    Args:
        manager: of open_manager.
        state: a dataclass of pytrees with an integer `step`: TrainState, or a sweep's Population.
        record: JSON-able dict that belongs to the state (what the host has to know to go on).
        about: JSON-able dict that tells where the checkpoint is from: config, versions, data.
        score: greater is better; None for a checkpoint that has not been evaluated.
    Raises:
        OSError: this checkpoint, or the one before, couldn't be written.
    """
    wait(manager)
    step, metrics = int(state.step), None if score is None else {"score": float(score)}
    about = about | {"format": FORMAT}
    sums = checksums.of_state(state) | {
        "structure": checksums.of_structure(state),
        "host": checksums.of_json([record, about, metrics]),
    }
    with _os_errors():
        manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state),
                record=ocp.args.JsonSave(record),
                about=ocp.args.JsonSave(about | {"sha256": sums}),
            ),
            metrics=metrics,
            force=True,
        )


def wait(manager):
    """Returns when the checkpoint that is being written, if any, is complete.

    Raises:
        OSError: it couldn't be written.
    """
    with _os_errors():
        manager.wait_until_finished()


@contextlib.contextmanager
def _os_errors():
    """Turns what TensorStore raises where the system refuses to write, a ValueError, into the OSError that it was."""
    try:
        yield
    except ValueError as error:
        if not (found := re.search(r"os_error_code='(\d+)'", str(error))):
            raise
        number = int(found[1])
        raise OSError(number, os.strerror(number)) from error


def restore_newest(manager, template, say):
    """The newest checkpoint that is whole; what is newer and damaged is moved aside.

    Args:
        manager: of `opened`.
        template: as of `restore`.
        say: told of each damaged checkpoint.
    Returns:
        (state, record, about), or None where there is no checkpoint.
    Raises:
        UserError: a checkpoint is of another version; or an older one, that is the best, is damaged.
    """
    while (step := manager.latest_step()) is not None:
        try:
            found = restore(manager, template, step)
            break
        except Damaged as damage:
            damaged = pathlib.Path(manager.directory), step, damage.why, say
            cluster.in_turns(functools.partial(_set_aside, *damaged))
            manager.reload()
    else:
        return None
    best = manager.best_step()
    if best not in (step, None):
        try:
            restore(manager, template, best)
        except Damaged as damage:
            # What comes after it can't make it again, so the run would end with another result.
            raise UserError(
                f"{damage}, and it was the best one. Move that folder away to go on from step {step:,} with the best "
                "of the later ones, or start anew in another --workdir."
            ) from damage
    return found


def restore(manager, template, step):
    """Reads a checkpoint onto this process's devices, whichever devices wrote it.

    Args:
        manager: of open_manager.
        template: a state of the same shapes and types, where the arrays are to be.
        step: the checkpoint's step.
    Returns:
        (state, record, about), as given to `save`.
    Raises:
        Damaged: it is not what was saved.
        UserError: its state has other fields; or it is of a version without checksums, and can't be read.
    """
    folder = manager.directory / str(step)
    abstract = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), template
    )
    about = read_about(manager, step)
    sums = about.pop("sha256", None)  # None: of a version that wrote none
    try:
        on_host = ocp.args.Composite(record=ocp.args.JsonRestore())
        record = manager.restore(step, args=on_host).record
        metrics = manager.metrics(step)
    except Exception as error:  # Orbax raises many types
        raise Damaged(folder, error) from error
    if sums and sums.get("host") != checksums.of_json([record, about, metrics]):
        raise Damaged(folder, "other checksums than when it was written")
    about.pop("format", None)
    try:
        args = ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
        state = manager.restore(step, args=args).state
    except Exception as error:
        if sums and sums.get("structure") == checksums.of_structure(template):
            raise Damaged(folder, error) from error
        raise UserError(
            f"the checkpoint {folder} can't be read ({type(error).__name__}): it is damaged, or of another version "
            "of cifar_jax. Move that folder away; the run then goes on from the checkpoint before it, or from the "
            "start."
        ) from error
    check(folder, checksums.of_state(state), sums)
    return state, record, about


def read_about(manager, step):
    """What a checkpoint says of itself, read before the rest: `about` of `save` with its checksums and format.

    Raises:
        Damaged: it can't be read.
        UserError: it is of a later format.
    """
    folder = manager.directory / str(step)
    try:
        on_host = ocp.args.Composite(about=ocp.args.JsonRestore())
        about = dict(manager.restore(step, args=on_host).about)
        number, writer = about.get("format", 1), about.get("versions", {}).get("cifar-jax")
    except Exception as error:  # Orbax raises many types
        raise Damaged(folder, error) from error
    if isinstance(number, int) and number > FORMAT:
        raise UserError(
            f"the checkpoint {folder} was written by cifar_jax {writer} in format {number}, and this version, "
            f"{__version__}, reads formats up to {FORMAT}: use cifar_jax {writer} or a later one"
        )
    return about


def check(folder, found, sums):
    """Compares a checkpoint's checksums by name; `sums` is None in checkpoints of before there were any.

    Raises:
        Damaged: they differ.
    """
    if sums and (other := [name for name in found if found[name] != sums.get(name)]):
        raise Damaged(folder, f"{', '.join(other)}: other checksums than when it was written")
