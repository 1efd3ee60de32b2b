"""A run of a sweep as a folder of its own, SWEEP/runs/NAME: its arrays are a row of its group's checkpoint.

Its config.json says, beside what that of any run says, the facts of the data set and, in "stacked", where the row is:
relative to the folder, so that the sweep's folder can be moved as a whole. It carries a checksum.
"""

import csv
import os
import pathlib
import re
import unicodedata
from typing import NamedTuple

from cifar_jax import config as config_lib
from cifar_jax.errors import ConfigError, UserError, nearest
from cifar_jax.runs import checksums
from cifar_jax.runs import workdir as workdir_lib

FOLDER = "runs"  # within the sweep's
NOT_IN_NAMES = '/\\:*?"<>|'  # on some file system
MOST_BYTES = 180  # of a cell in a folder's name; 255 are a file system's
AGAIN = "the sweep's command, given again, writes it anew"


class Place(NamedTuple):
    """Where the arrays of a run are."""

    folder: pathlib.Path  # of the run
    checkpoints: pathlib.Path  # of its group
    step: int  # of the group's checkpoint
    row: int
    run: str  # "CELL/SEED"
    steps_per_epoch: int
    about: dict  # as of workdir.about, with "dataset"


def folder_names(sweep_about):
    """Name a folder for each run: the cell and the seed, such as "lr_0.1-0".

    What a folder's name can't have is "_" there. Of cells that would then have the same one, also where upper and lower
    case are one, the later ones get ~2, ~3, ...

    Args:
        sweep_about: the content of sweep.json.
    Returns:
        {"CELL/SEED": name}.
    """
    stems, taken = {}, set()
    for cell in sweep_about["cells"]:
        stem, number = _plain(cell), 1
        while _folded(stem) in taken:
            number += 1
            stem = f"{_plain(cell)}~{number}"
        taken.add(_folded(stem))
        stems[cell] = stem
    runs = (run.rpartition("/") for group in sweep_about["groups"] for run in group)
    return {f"{cell}/{seed}": f"{stems[cell]}-{seed}" for cell, _, seed in runs}


def _plain(cell):
    letters = (each if each.isprintable() and each not in NOT_IN_NAMES else "_" for each in cell)
    text = "".join(letters).encode()[:MOST_BYTES].decode(errors="ignore")
    return re.sub(r"^\.", "_", text) or "cell"


def _folded(name):
    return unicodedata.normalize("NFC", name).casefold()


def about(run_about, facts, run, group, step, row, steps_per_epoch):
    """Describe a run of a sweep for its config.json.

    Args:
        run_about: of workdir.about.
        facts: of data.Dataset.facts.
        run: "CELL/SEED".
        group: number of its group, from 0.
        step: of the group's checkpoint.
        row: of the run in it.
        steps_per_epoch: of the run.
    """
    place = {"checkpoints": f"../../checkpoints/{group}", "step": step, "row": row}
    place |= {"run": run, "steps_per_epoch": steps_per_epoch}
    content = run_about | {"dataset": facts, "stacked": place}
    place["sha256"] = checksums.of_json(content)
    return content


def check_can_train(workdir, name="config.json"):
    """Refuse to train in a folder where something else is trained, before its data is loaded.

    Args:
        workdir: the folder, which need not be there.
        name: of the file that says what is to be trained there: config.json of a run, sweep.json of a sweep.
    Raises:
        UserError: the folder is that of a run of a sweep; or it holds a sweep, but is to hold a run, or the reverse.
    """
    if _sweep_of(workdir) or "stacked" in workdir_lib.recorded(workdir):
        raise UserError(
            f"{workdir} is a run of a sweep, which trains it with others; choose another --workdir to train its config "
            "alone"
        )
    if name == "config.json" and "cells" in workdir_lib.recorded(workdir, "sweep.json"):
        raise UserError(f"{workdir} holds a sweep; choose another --workdir for a run")
    if name == "sweep.json" and "config" in workdir_lib.recorded(workdir):
        raise UserError(f"{workdir} holds a run; choose another --workdir for a sweep")


def _sweep_of(workdir):
    """Return the folder of the sweep that a folder is a run of by its place, whether it is there or not; else None."""
    try:
        own = pathlib.Path(os.path.realpath(pathlib.Path(workdir).expanduser()))
    except (ValueError, RuntimeError):  # no name of a file, or nobody's home
        return None
    sweep = own.parent.parent
    is_run = own.parent.name == FOLDER and os.path.isfile(sweep / "sweep.json")
    return sweep if is_run else None


def find(workdir):
    """Read where the arrays of a run of a sweep are; None for a folder that is none.

    Raises:
        UserError: the run has no folder, such as one that diverged; its config.json is damaged, or leads elsewhere; the
            folder is no more in that of its sweep.
    """
    folder = pathlib.Path(workdir).expanduser()
    content, sweep = workdir_lib.recorded(folder), _sweep_of(folder)
    if "stacked" not in content:
        if sweep:
            raise _missing(folder, sweep)
        return None
    place = content.pop("stacked")
    if why := _wrong(content, place):
        raise UserError(f"{folder / 'config.json'} is damaged ({why}); {AGAIN}")
    if not sweep:
        raise UserError(
            f"{workdir} is a run of a sweep, but not in the folder of one, which has its arrays; move or copy the "
            "folder of the sweep as a whole"
        )
    checkpoints = sweep / "checkpoints" / place["checkpoints"].rpartition("/")[2]
    if not checkpoints.is_dir():
        raise UserError(f"there is no {checkpoints} with the arrays of {workdir}; {AGAIN}")
    numbers = (place[name] for name in ("step", "row", "run", "steps_per_epoch"))
    return Place(folder, checkpoints, *numbers, content)


def _wrong(content, place):
    """Say in which way a config.json is not as it was written; "" where it is. `place`: what is in "stacked"."""
    if not isinstance(place, dict):
        return "it does not say where the arrays are"
    rest = {name: each for name, each in place.items() if name != "sha256"}
    if place.get("sha256") != checksums.of_json(content | {"stacked": rest}):
        return "it has other content than was written"
    if not re.fullmatch(r"\.\./\.\./checkpoints/[0-9]{1,9}", str(place.get("checkpoints"))):
        return "it leads out of the sweep's checkpoints"
    numbers = [place.get(name) for name in ("step", "row", "steps_per_epoch")]
    if not all(type(each) is int and each >= 0 for each in numbers):
        return "it does not say where the arrays are"
    parts = {"config": dict, "dataset": dict, "dataset_fingerprint": str}
    if not all(isinstance(content.get(name), kind) for name, kind in parts.items()):
        return "it does not say all of a run"
    return ""


def check_group(place, group_about):
    """Hold a run against what its group's checkpoint says of it.

    Args:
        place: Place.
        group_about: as given to checkpoints.save.
    Raises:
        UserError: the checkpoint is of other runs, or of another config or data.
    """
    cell, _, seed = str(place.run).rpartition("/")
    try:
        run = group_about["groups"][int(place.checkpoints.name)][place.row]
        config = group_about["cells"][cell] | {"seed": int(seed)}
        same = (
            run == place.run
            and group_about["dataset_fingerprint"] == place.about["dataset_fingerprint"]
            and not config_lib.differing(config, place.about["config"])
        )
    except (LookupError, TypeError, ValueError, ConfigError):
        same = False
    if not same:
        raise UserError(
            f"{place.folder} is of another sweep than {place.checkpoints}; the sweep's command, given again, writes "
            "the folders of its runs"
        )


def _missing(folder, sweep):
    """Make the UserError for a folder that is not there, or has no config.json, of a sweep."""
    name, sweep_about = (
        pathlib.Path(os.path.realpath(folder)).name,
        workdir_lib.recorded(sweep, "sweep.json"),
    )
    try:
        run_of = {each: run for run, each in folder_names(sweep_about).items()}
    except (LookupError, TypeError, AttributeError):
        return UserError(f"{sweep / 'sweep.json'} is damaged, or of another version of cifar_jax")
    if name not in run_of:
        return UserError(f"the sweep {sweep} has no run {name[:200]!r}; {nearest(name, run_of)}")
    ended = _rows(sweep / "runs.csv").get(run_of[name])
    if ended is None:
        return UserError(
            f"the run {name} of the sweep {sweep} has not ended: the sweep's command, given again, goes on"
        )
    if ended.get("status") == "diverged":
        return UserError(
            f"the run {name} of the sweep {sweep} diverged at step {ended.get('diverged_at_step')}: it has no result "
            "and no folder"
        )
    return UserError(f"{folder / 'config.json'} can't be read; {AGAIN}")


def _rows(path):
    """Read the rows of a runs.csv: {"CELL/SEED": row}; {} where it can't be read."""
    try:
        with path.open(newline="") as file:
            return {f"{row['cell']}/{row['seed']}": row for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, csv.Error):
        return {}
