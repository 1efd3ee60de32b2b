"""The files of a run's folder: config.json says what the run is, summary.json how it ended."""

import json
import pathlib

from cifar_jax import config as config_lib
from cifar_jax import files, runtime
from cifar_jax.errors import ConfigError, UserError


def about(config, dataset_fingerprint):
    """What a run is, for config.json and for each of its checkpoints: a JSON-able dict."""
    return {
        "config": config.to_dict(),
        "dataset_fingerprint": dataset_fingerprint,
        "versions": runtime.versions(),
    }


def open_workdir(folder, config, dataset_fingerprint, first=True):
    """Makes a run's folder, or checks that the one there belongs to this very run.

    Args:
        folder: path.
        config: checked ConfigDict.
        dataset_fingerprint: of data.Dataset.
        first: whether this is the process that makes it; the others come after it, see cluster.in_turns.
    Returns:
        pathlib.Path.
    Raises:
        ConfigError: the folder holds a run with another config or other data.
        UserError: the folder can't be written, or its config.json can't be read, or is not here.
    """
    if not first and not (pathlib.Path(folder).expanduser() / "config.json").exists():
        raise UserError(
            f"{folder} has no config.json of process 0: choose a --workdir on storage that all hosts share"
        )
    return open_folder(folder, "config.json", about(config, dataset_fingerprint), check_same)


def open_folder(folder, name, mine, check):
    """Makes a folder with a file that says what it is, or checks that the one there says the same.

    Args:
        folder: path.
        name: of the file.
        mine: JSON-able dict, what the file is to say.
        check: (folder, theirs, mine); raises ConfigError where they differ in what matters.
    Returns:
        pathlib.Path.
    Raises:
        ConfigError: of `check`.
        UserError: the folder can't be written, or the file can't be read.
    """
    folder = pathlib.Path(folder).expanduser()
    path = folder / name
    try:
        if folder.exists() and not folder.is_dir():
            raise UserError(f"the workdir {folder} is a file; choose another --workdir")
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists():
            check(folder, json.loads(path.read_text()), mine)
        else:
            files.write_json(path, mine)
    except OSError as error:
        raise UserError(
            f"can't use {folder} as workdir ({error.strerror}); choose another --workdir"
        ) from error
    except ValueError as error:
        raise UserError(
            f"{path} is damaged or no config of ours; choose another --workdir"
        ) from error
    return folder


def check_same(folder, theirs, mine):
    """Refuses to continue a run with another config or other data.

    Args:
        folder: the workdir, for the message.
        theirs: what `about` said when the run began.
        mine: what it says now.
    Raises:
        ConfigError: naming the fields.
        ValueError: `theirs` is nothing that `about` says.
    """
    if not isinstance(theirs, dict) or not isinstance(theirs.get("config"), dict):
        raise ValueError("not what a run writes")
    if changes := config_lib.differing(theirs["config"], mine["config"]):
        lines = "\n".join(f"  {name}: {old!r} there, {new!r} now" for name, old, new in changes)
        raise ConfigError(
            f"{folder} holds a run with another config:\n{lines}\n"
            "Choose another --workdir, or give the same values to continue that run."
        )
    check_same_data(folder, theirs, mine, mine["config"]["dataset"]["name"])


def check_same_data(folder, theirs, mine, name):
    """Refuses to continue on other data; `name` is the data set's."""
    old, new = (str(each.get("dataset_fingerprint"))[:12] for each in (theirs, mine))
    if old != new:
        raise ConfigError(
            f"{folder} holds a run on other {name} data (fingerprint {old} "
            f"there, {new} now); choose another --workdir, or the data_dir of that run."
        )


def read_json(path):
    """What files.write_json wrote.

    Raises:
        UserError: it can't be read.
    """
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} can't be read ({error}); choose another --workdir") from error
