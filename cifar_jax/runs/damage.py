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
        why = why if isinstance(why, str) else f"{type(why).__name__}: {one_line(why, 200)}"
        super().__init__(f"the checkpoint {folder} is damaged ({why})")
        self.why = why


class OtherSums(Exception):
    """What was read of a checkpoint has other checksums than what was saved."""


def left_to_the_user(error):
    return UserError(f"{error}; move that folder away") if isinstance(error, Damaged) else error


def steps_in(folder):
    """The steps that have a checkpoint, whole or not."""
    return sorted(int(each.name) for each in folder.glob("*") if each.name.isdecimal())


def unreadable_part(folder):
    """Which part of a checkpoint, that Orbax has to read before it opens any, can't be read: words; "" for none."""
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


def set_aside(folder, step, why, say):
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


def check(found, sums):
    """Compares checksums by name; `sums` is None in checkpoints of before there were any.

    Raises:
        Exception: for `refusal`: they differ.
    """
    if sums and (other := [name for name in found if found[name] != sums.get(name)]):
        raise OtherSums(f"{', '.join(other)}: other checksums than when it was written")


def refusal(folder, error, template=None):
    """Why a checkpoint can't be read, by what its files show.

    Args:
        folder: of the checkpoint.
        error: what was raised, or a part's name.
        template: the state that was asked for; None where it does not matter.
    Returns:
        Damaged where its bytes are shown to be wrong, else UserError.
    """
    listed, sums = checksums.has_list(folder), isinstance(error, OtherSums)
    if wrong := checksums.wrong_file(folder):
        return Damaged(folder, str(error) if sums else wrong)
    if sums and not listed:
        return Damaged(folder, str(error))
    if isinstance(error, UserError):
        return error
    why = error if isinstance(error, str) else f"{type(error).__name__}: {one_line(error, 200)}"
    bytes_are = "its bytes are as they were written" if listed else "its bytes may be whole"
    return UserError(
        f"the checkpoint {folder} can't be read here ({why}); {bytes_are}, and nothing was changed. "
        f"{_of_another_version(folder, template)}Move that folder away to go on without it."
    )


def _of_another_version(folder, template):
    """What is known of the versions that wrote a checkpoint, a sentence with a blank behind it; "" for nothing."""
    try:
        about = json.loads((pathlib.Path(folder) / "about/metadata").read_text())
        theirs, structure = dict(about.get("versions", {})), about["sha256"]["structure"]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return ""
    if template is not None and structure != checksums.of_structure(template):
        return "Its state has other fields: it is of another version of cifar_jax. "
    mine = runtime.versions()
    other = [f"{name} {theirs[name]}" for name in theirs if theirs[name] != mine.get(name)]
    return f"It was written with {', '.join(other)}, other than here. " if other else ""
