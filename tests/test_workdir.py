"""The folder of a run: another config or other data in it, and what is damaged."""

import errno
import fcntl
import io
import os

import pytest
from rich.console import Console

from cifar_jax import config as config_lib
from cifar_jax import train
from cifar_jax.errors import ConfigError, StorageError, UserError
from cifar_jax.runs import workdir


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 5},
        {"optimizer": {"learning_rate": 0.5}},
    ],
)
def test_another_config_in_the_same_workdir_is_refused(quick_config, tmp_path, changes):
    workdir.open_workdir(tmp_path, quick_config, "data")
    other = config_lib.check(quick_config.to_dict())
    other.update(changes)
    (name,) = config_lib.flatten(changes)
    with pytest.raises(ConfigError, match=rf"{name}: .* there, .* now"):
        workdir.open_workdir(tmp_path, other, "data")
    with pytest.raises(ConfigError, match="other digits data"):
        workdir.open_workdir(tmp_path, quick_config, "other data")


def test_damaged_or_unwritable_workdir_is_said(quick_config, tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        workdir.open_workdir(tmp_path, quick_config, "data")
    (tmp_path / "file").write_text("")
    for folder in ("file", "file/run"):
        with pytest.raises(UserError, match="workdir"), workdir.claimed(tmp_path / folder):
            pass


@pytest.mark.thorough
def test_what_is_damaged_is_named_and_another_config_never_continues(quick_config, tmp_path):
    console = Console(file=io.StringIO())
    summary = train.train_and_evaluate(quick_config, tmp_path / "run", console)
    (tmp_path / "run" / "config.json").unlink()
    other = config_lib.check(quick_config.to_dict())
    other.optimizer.learning_rate = 0.5
    with pytest.raises(ConfigError, match="optimizer.learning_rate: 0.002 there, 0.5 now"):
        train.train_and_evaluate(other, tmp_path / "run", console)
    (tmp_path / "run" / "config.json").unlink()
    (tmp_path / "run" / "metrics.jsonl").write_bytes(b'\xff\xfe\n{"step": "a", "split": 1}\n[]\n')
    last = tmp_path / "run" / "checkpoints" / str(summary["steps"])
    for file in (last / "state").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    said = io.StringIO()
    again = train.train_and_evaluate(quick_config, tmp_path / "run", Console(file=said, width=999))
    assert f"{last} is damaged" in said.getvalue() and "kept as" in said.getvalue()
    assert again["params_sha256"] == summary["params_sha256"]


def test_a_workdir_is_one_trainings(tmp_path):
    with workdir.claimed(tmp_path / "run") as folder:
        assert folder == tmp_path / "run"
        with (
            pytest.raises(UserError, match=rf"in use by another training \(process {os.getpid()} "),
            workdir.claimed(folder),
        ):
            pass
    with workdir.claimed(folder):  # what the first one left there is no lock
        pass


def test_where_there_are_no_locks_nobody_is_kept_out(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with workdir.claimed(tmp_path), workdir.claimed(tmp_path):
        pass


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, StorageError), (errno.ENOENT, FileNotFoundError)]
)
def test_a_full_disk_is_said_and_other_errors_are_not_taken_for_one(tmp_path, number, kind):
    with pytest.raises(kind, match=os.strerror(number)), workdir.claimed(tmp_path):
        raise OSError(number, os.strerror(number))
