"""The files of a run's folder: config.json says what the run is, summary.json how it ended."""

import json
import pathlib

from cifar_jax import config as config_lib
from cifar_jax import runtime
from cifar_jax.errors import ConfigError, UserError


def about(config, dataset_fingerprint):
    """What a run is, for config.json and for each of its checkpoints: a JSON-able dict."""
    return {
        "config": config.to_dict(),
        "dataset_fingerprint": dataset_fingerprint,
        "versions": runtime.versions(),
    }


def open_workdir(folder, config, dataset_fingerprint):
    """Makes a run's folder, or checks that the one there belongs to this very run.

    Args:
        folder: path.
        config: checked ConfigDict.
        dataset_fingerprint: of data.Dataset.
    Returns:
        pathlib.Path.
    Raises:
        ConfigError: the folder holds a run with another config or other data.
        UserError: the folder can't be written, or its config.json can't be read.
    """
    folder = pathlib.Path(folder).expanduser()
    path = folder / "config.json"
    mine = about(config, dataset_fingerprint)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            write_json(path, mine)
            return folder
        theirs = json.loads(path.read_text())
        changes = config_lib.differing(theirs["config"], mine["config"])
    except OSError as error:
        raise UserError(f"can't use {folder} as workdir: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is damaged; choose another --workdir, or delete this one to start anew"
        ) from error
    if changes:
        lines = "\n".join(f"  {name}: {old!r} there, {new!r} now" for name, old, new in changes)
        raise ConfigError(
            f"{folder} holds a run with another config:\n{lines}\n"
            "Choose another --workdir, or give the same values to continue that run."
        )
    if theirs.get("dataset_fingerprint") != dataset_fingerprint:
        raise ConfigError(
            f"{folder} holds a run on other {config.dataset.name} data (fingerprint "
            f"{str(theirs.get('dataset_fingerprint'))[:12]} there, {dataset_fingerprint[:12]} now); "
            "choose another --workdir, or the data_dir of that run."
        )
    return folder


def write_json(path, value):
    """Writes whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value, indent=2) + "\n")
    partial.replace(path)
