"""Damage to checkpoints: shown by their bytes, told from all else, moved aside."""

import datetime
import json
import pathlib

from cifar_jax.errors import UserError, one_line
from cifar_jax.machine import runtime
from cifar_jax.runs import checksums


class Damaged(UserError):
    """A checkpoint is not what was written."""

    def __init__(self, folder, why):
        super().__init__(f"the checkpoint {folder} is damaged ({why})")
        self.why = why


class OtherSums(Exception):
    """A checkpoint's content has other checksums than when it was saved."""


def described(error):
    """Say in one line what a library raised."""
    return f"{type(error).__name__}: {one_line(error, 200)}"


def left_to_the_user(error):
    return UserError(f"{error}; move that folder away") if isinstance(error, Damaged) else error


def steps_in(folder):
    """List the steps that have a checkpoint, whole or not."""
    return sorted(int(each.name) for each in folder.glob("*") if each.name.isdecimal())


def unreadable_part(folder):
    """Name the part, of those that Orbax reads before it opens any checkpoint, that can't be read; "" for none."""
    parts = {
        "its score": ("metrics/metrics", lambda metrics: metrics["score"] + 0.0),
        "its date": (
            "_CHECKPOINT_METADATA",
            lambda dates: datetime.datetime.fromtimestamp(dates["commit_timestamp_nsecs"] / 1e9),
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


def set_aside(folder, step, why, say):
    """Rename a damaged checkpoint and say so, unless another process has."""
    if not (folder / str(step)).exists():
        return
    number, aside = 1, folder / f"{step}.damaged"
    while aside.exists():
        number += 1
        aside = folder / f"{step}.damaged-{number}"
    damaged = Damaged(folder / str(step), why)
    (folder / str(step)).rename(aside)
    say(f"{damaged}; it is kept as {aside.name}")


def check(checksums, saved):
    """Compare checksums with those that were saved, by name.

    Raises:
        Exception: for `refusal`: they differ.
    """
    if other := [name for name in checksums if checksums[name] != saved.get(name)]:
        raise OtherSums(f"{', '.join(other)}: other checksums than when it was written")


def check_files(folder):
    """Hold a checkpoint's files against the list of them.

    Raises:
        Exception: for `refusal`: they differ, or there is no such list any more.
    """
    if not checksums.has_list(folder):
        raise OtherSums(f"its list of files, {checksums.LIST}, is missing or damaged")
    if wrong := checksums.wrong_file(folder):
        raise OtherSums(wrong)


def refusal(folder, error, template=None):
    """Say why a checkpoint can't be read, by what its files show.

    Args:
        folder: of the checkpoint.
        error: the exception that was raised, or a part's name.
        template: the state that was asked for; None where it does not matter.
    Returns:
        Damaged where its bytes are shown to be wrong, else UserError.
    """
    listed, differs = checksums.has_list(folder), isinstance(error, OtherSums)
    if wrong := checksums.wrong_file(folder):
        return Damaged(folder, str(error) if differs else wrong)
    if differs and not listed:
        return Damaged(folder, str(error))
    if isinstance(error, UserError):
        return error
    why = error if isinstance(error, str) else described(error)
    bytes_are = "its bytes are as they were written" if listed else "its bytes may be whole"
    return UserError(
        f"the checkpoint {folder} can't be read here ({why}); {bytes_are}, and nothing was changed. "
        f"{_of_another_version(folder, template)}Move that folder away to go on without it."
    )


def _of_another_version(folder, template):
    """Say which other versions wrote a checkpoint: a sentence with a blank behind it; "" where nothing is known."""
    try:
        about = json.loads((pathlib.Path(folder) / "about/metadata").read_text())
        writers, structure = dict(about.get("versions", {})), about["sha256"]["structure"]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return ""
    if template is not None and structure != checksums.of_structure(template):
        return "Its state has other fields: it is of another version of cifar_jax. "
    here = runtime.versions()
    other = [f"{name} {each}" for name, each in writers.items() if each != here.get(name)]
    return f"It was written with {', '.join(other)}, other than here. " if other else ""
