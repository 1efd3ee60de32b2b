"""The files of a run's folder: config.json says what the run is, summary.json how it ended."""

import contextlib
import errno
import json
import os
import pathlib
import platform

from cifar_jax import config as config_lib
from cifar_jax import plugins
from cifar_jax.config import flatten, paths, rules
from cifar_jax.errors import ConfigError, StorageError, UserError
from cifar_jax.machine import files, processes, runtime

FULL = {errno.ENOSPC, errno.EDQUOT}
# What else a disk may say that could be written before: it is read-only by now, or failing.
FAILED = {errno.EROFS, errno.EIO}


def about(config, dataset_fingerprint, weights_sha256=None):
    """Describe a run for config.json and for each of its checkpoints: a JSON-able dict.

    Args:
        config: checked ConfigDict.
        dataset_fingerprint: of data.Dataset.
        weights_sha256: of inputs.weights_of.
    """
    return {
        "config": config.to_dict(),
        "dataset_fingerprint": dataset_fingerprint,
        "weights_sha256": weights_sha256 or {},
        "plugins": plugins.of_config(flatten(config)),
        "versions": runtime.versions(),
    }


def recorded(folder, name="config.json"):
    """Read what a folder's file says of the run or sweep in the folder; {} where nothing can be read yet."""
    try:
        content = json.loads((pathlib.Path(folder).expanduser() / name).read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def require_plugins(folder, run_about, fields=tuple(plugins.KINDS)):
    """Raise UserError where a run needs a plugin that is not imported.

    Args:
        folder: of the run.
        run_about: of `about`, or of `recorded`.
        fields: of a config, that are needed.
    """
    config = run_about.get("config")
    flat = flatten(config) if isinstance(config, dict) else {}
    plugins.require(folder, run_about.get("plugins"), flat, fields)


def digests_of_weights(run_about):
    """Return {file: SHA-256} of `about`, or {} where it says none."""
    return run_about.get("weights_sha256", {})


def differing(old_about, new_about, old, new):
    """List config.differing of two configs, whose files of weights are one if they have one content.

    Args:
        old_about, new_about: of `about`.
        old, new: the configs there, dicts.
    """
    changes = config_lib.differing(old, new)
    field, weights = "model.weights", []
    for run_about, config in ((old_about, old), (new_about, new)):
        name = config_lib.flatten(config).get(field)
        weights.append((name, digests_of_weights(run_about).get(name)))
    if not all(digest for _, digest in weights):  # no files, or one that was gone from the start
        return changes
    changes = [change for change in changes if change[0] != field]
    if weights[0][1] != weights[1][1]:
        named = (f"{name} of SHA-256 {digest[:12]}" for name, digest in weights)
        changes.append((field, *named))
    return changes


@contextlib.contextmanager
def claimed(folder, alone=True):
    """Make a workdir where it is missing and keep a second training out of it.

    Args:
        folder: the workdir.
        alone: whether others are kept out; who shares the folder keeps them out of its own part.
    Yields:
        pathlib.Path.
    Raises:
        UserError: another training is in it, it can't be written, or it is a URL.
        StorageError: its disk is full, or couldn't be written later on.
    """
    folder = pathlib.Path(paths.local(folder)).expanduser()
    with contextlib.ExitStack() as stack:
        with _usable(folder):
            if folder.exists() and not folder.is_dir():
                raise UserError(f"the workdir {folder} is a file; choose another --workdir")
            folder.mkdir(parents=True, exist_ok=True)
            if alone and processes.is_first():  # the processes of one training are in it together
                _lock(folder, stack)
        try:
            yield folder
        except OSError as error:
            if error.errno in FULL | FAILED:
                raise _storage_error(folder, error) from error
            raise


def _storage_error(folder, error):
    todo = "Make room on its disk" if error.errno in FULL else "See to its disk"
    return StorageError(
        f"{folder} can't be written ({error.strerror}). {todo}; the same command then goes on from the last "
        "checkpoint, if any."
    )


def _lock(folder, stack):
    """Lock a workdir until `stack` is closed."""
    path = folder / ".lock"
    try:
        file = stack.enter_context(files.locked(path))
    except BlockingIOError as error:
        raise UserError(
            f"{folder} is in use by another training ({path.read_text() or 'just started'}); wait until that ends, or "
            "choose another --workdir"
        ) from error
    file.truncate(0)
    file.write(f"process {os.getpid()} on {platform.node()}")
    file.flush()


@contextlib.contextmanager
def _usable(folder):
    """Turn what a folder raises that can't be made or written into UserError."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise _storage_error(folder, error) from error
        raise UserError(
            f"can't use {folder} as workdir ({error.strerror}); choose another --workdir"
        ) from error


def open_workdir(folder, config, dataset_fingerprint, first=True, weights_sha256=None):
    """Write what a run is into its folder, or check that the folder belongs to this very run.

    Args:
        folder: of `claimed`.
        config: checked ConfigDict.
        dataset_fingerprint: of data.Dataset.
        first: whether this is the process that makes it; the others come after it, see processes.in_turns.
        weights_sha256: of inputs.weights_of.
    Raises:
        ConfigError: the folder holds a run with another config or other data.
        UserError: the folder can't be written, or its config.json can't be read, or is not here.
    """
    if not first and not (folder / "config.json").exists():
        raise UserError(
            f"{folder} has no config.json of process 0: choose a --workdir on storage that all hosts share"
        )
    open_folder(
        folder, "config.json", about(config, dataset_fingerprint, weights_sha256), check_same
    )


def open_folder(folder, name, new_about, check):
    """Write a file that says what a folder is, or check that the one there says the same.

    Args:
        folder: of `claimed`.
        name: of the file.
        new_about: JSON-able dict, what the file is to say.
        check: (folder, old_about, new_about) -> whether the file is to be written anew; raises ConfigError where they
            differ in what matters.
    Raises:
        ConfigError: of `check`.
        UserError: the folder can't be written, or the file can't be read.
    """
    path = folder / name
    with _usable(folder):
        try:
            if not path.exists() or check(folder, json.loads(path.read_text()), new_about):
                files.write_json(path, new_about)
        except ValueError as error:
            raise UserError(
                f"{path} is damaged or no config of ours; choose another --workdir"
            ) from error


def check_same(folder, old_about, new_about):
    """Refuse to continue a run with another config or other data; more epochs are none, where the schedule allows them.

    Args:
        folder: the workdir, for the message.
        old_about: what `about` said when the run began.
        new_about: what it says now.
    Returns:
        whether there are more epochs.
    Raises:
        ConfigError: naming the fields.
        ValueError: `old_about` is nothing that `about` says.
    """
    if not isinstance(old_about, dict) or not isinstance(old_about.get("config"), dict):
        raise ValueError("not what a run writes")
    changes = differing(old_about, new_about, old_about["config"], new_about["config"])
    longer = [name for name, *_ in changes] == ["total_epochs"] and changes[0][1] < changes[0][2]
    schedule = new_about["config"]["schedule"]["name"]
    if changes and not (longer and schedule in rules.OPEN_ENDED):
        lines = "\n".join(f"  {name}: {old!r} there, {new!r} now" for name, old, new in changes)
        why = ""
        if longer:
            why = (
                f"With schedule.name={schedule} the learning rate of every step depends on the number of epochs; with "
                f"{', '.join(rules.OPEN_ENDED)} it does not.\n"
            )
        raise ConfigError(
            f"{folder} holds a run with another config:\n{lines}\n{why}"
            "Choose another --workdir, or give the same values to continue that run."
        )
    check_same_data(folder, old_about, new_about, new_about["config"]["dataset"]["name"])
    return longer


def check_same_data(folder, old_about, new_about, name):
    """Refuse to continue on other data; `name` is the data set's."""
    old, new = (str(each.get("dataset_fingerprint"))[:12] for each in (old_about, new_about))
    if old != new:
        raise ConfigError(
            f"{folder} holds a run on other {name} data (fingerprint {old} "
            f"there, {new} now); choose another --workdir, or the data_dir of that run."
        )
