"""The folder of a run: another config or other data in it, and what is damaged."""

import io

import pytest
from rich.console import Console

from cifar_jax import config as config_lib
from cifar_jax import train, workdir
from cifar_jax.errors import ConfigError, UserError


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
    with pytest.raises(UserError, match="can't use"):
        workdir.open_workdir(tmp_path / "file" / "run", quick_config, "data")


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
    with pytest.raises(UserError, match=f"{last} can't be read"):
        train.train_and_evaluate(quick_config, tmp_path / "run", console)
    for file in last.rglob("metrics/*"):
        file.write_bytes(b"{")
    with pytest.raises(UserError, match="one of them is damaged"):
        train.train_and_evaluate(quick_config, tmp_path / "run", console)
