"""Callbacks: what they are told, when, and what becomes of a run whose callback fails."""

import json

import jax
import numpy as np
import pytest
from metrics_file import rows

from cifar_jax import config as config_lib
from cifar_jax import train
from cifar_jax.errors import ConfigError, UserError
from cifar_jax.runs import reader
from cifar_jax.train import Callback, epochs
from cifar_jax.train.callbacks import STOP

EVENTS = ("start", "interval", "epoch", "end", "failure")


class Noting(Callback):
    """Notes every event; fails in the one that is named, the first time."""

    def __init__(self, fails=None):
        self.events, self.fails = [], fails


def noting(event):
    def note(self, *arguments):
        self.events.append((event, *arguments))
        if event == self.fails:
            raise ValueError("no\nroom")

    return note


for name in EVENTS:
    setattr(Noting, name, noting(name))


def names(callback):
    return [event for event, *_ in callback.events]


@pytest.fixture
def config(small_config):
    small_config.total_epochs = 2
    return config_lib.check(small_config)


@pytest.mark.thorough
def test_all_is_told_in_order_and_is_what_metrics_jsonl_has(config, tmp_path):
    noted = Noting()
    summary = train.train_and_evaluate(config, tmp_path / "run", callbacks=[Callback(), noted])
    told = names(noted)
    assert told[0] == "start" and told[-1] == "end" and told.count("epoch") == 2
    (_, run), *_ = noted.events
    assert run["config"] == config.to_dict() and run["workdir"] == str(tmp_path / "run")
    assert run["step"] == 0 and run["total_steps"] == summary["steps"]
    assert run["parameters"] == summary["params"] and len(run["class_names"]) == 10
    json.dumps(run)
    intervals = [arguments for event, *arguments in noted.events if event == "interval"]
    kept = rows(tmp_path / "run", "train")
    assert [
        {"step": step, "epoch": epoch, "split": "train", **metrics}
        for step, epoch, metrics in intervals
    ] == kept
    epochs = [arguments for event, *arguments in noted.events if event == "epoch"]
    assert [validation["loss"] for *_, validation in epochs] == [
        row["loss"] for row in rows(tmp_path / "run", "validation")
    ]
    assert noted.events[-1][1] == summary


@pytest.mark.parametrize("event", ["interval", pytest.param("epoch", marks=pytest.mark.thorough)])
@pytest.mark.thorough
def test_one_that_fails_ends_the_run_saved_and_it_goes_on(config, tmp_path, event):
    noted, other = Noting(fails=event), Noting()
    with pytest.raises(UserError, match=f"Noting failed in {event} .ValueError: no room.*saved"):
        train.train_and_evaluate(config, tmp_path / "run", callbacks=[noted, other])
    assert names(noted).count(event) == 1 and names(other)[-1] == "failure"
    assert isinstance(other.events[-1][1], UserError)
    train.train_and_evaluate(config, tmp_path / "run")
    train.train_and_evaluate(config, tmp_path / "whole")
    one, other = (reader.read_run(tmp_path / name, "last")[0] for name in ("run", "whole"))
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.thorough
def test_one_that_fails_at_the_start_trains_nothing(config, tmp_path):
    noted = Noting(fails="start")
    with pytest.raises(UserError, match="failed in start"):
        train.train_and_evaluate(config, tmp_path / "run", callbacks=[noted])
    assert names(noted) == ["start", "failure"]
    assert not rows(tmp_path / "run", "train")


@pytest.mark.thorough
def test_one_that_fails_at_the_end_leaves_a_finished_run(config, tmp_path):
    with pytest.raises(UserError, match="failed in end .*its end, saved"):
        train.train_and_evaluate(config, tmp_path / "run", callbacks=[Noting(fails="end")])
    assert (tmp_path / "run/summary.json").is_file()


@pytest.mark.thorough
def test_a_failure_of_the_run_is_told(config, tmp_path):
    config.schedule.name = "cosine"
    train.train_and_evaluate(config, tmp_path / "run")
    noted = Noting()
    config.seed = 1
    with pytest.raises(ConfigError):
        train.train_and_evaluate(config, tmp_path / "run", callbacks=[noted])
    assert not noted.events  # it had not begun
    config.optimizer.learning_rate = 1e30
    with pytest.raises(UserError) as caught:
        train.train_and_evaluate(config, tmp_path / "other", callbacks=[noted])
    assert names(noted)[0] == "start" and noted.events[-1] == ("failure", caught.value)


def test_the_other_processes_are_told_why_they_stop():
    with pytest.raises(UserError, match="at step 5, saved: a callback failed in the first process"):
        epochs.raise_if_stopped([STOP], "step 5")
