"""A run is given more epochs where its schedule allows that, and then is the run that had them from the start."""

import json

import jax
import numpy as np
import pytest
from metrics_file import rows

from cifar_jax import config as config_lib
from cifar_jax import train
from cifar_jax.config import rules
from cifar_jax.errors import ConfigError
from cifar_jax.runs import reader
from cifar_jax.train import schedules


def of_epochs(config, count, **schedule):
    config = config.copy_and_resolve_references()
    config.total_epochs = count
    config.schedule.update(schedule)
    return config_lib.check(config)


@pytest.mark.parametrize(
    "schedule",
    [
        {"name": "step", "drop_epochs": 1},
        pytest.param({"name": "plateau", "patience": 0}, marks=pytest.mark.thorough),
    ],
    ids=lambda schedule: schedule["name"],
)
@pytest.mark.thorough
def test_a_longer_run_is_the_run_that_was_as_long_from_the_start(small_config, tmp_path, schedule):
    short, long = (of_epochs(small_config, count, **schedule) for count in (1, 3))
    train.train_and_evaluate(short, tmp_path / "grown")
    grown = train.train_and_evaluate(long, tmp_path / "grown")
    whole = train.train_and_evaluate(long, tmp_path / "whole")
    assert grown["epochs"] == 3 and grown["test_accuracy"] == whole["test_accuracy"]
    one, other = (reader.read_run(tmp_path / name, "last")[0] for name in ("grown", "whole"))
    jax.tree.map(np.testing.assert_array_equal, one, other)
    for split in ("train", "validation", "test"):
        one, other = (rows(tmp_path / name, split) for name in ("grown", "whole"))
        assert [row["loss"] for row in one] == [row["loss"] for row in other]
    recorded = json.loads((tmp_path / "grown/config.json").read_text())
    assert recorded["config"]["total_epochs"] == 3
    with pytest.raises(ConfigError, match="total_epochs: 3 there, 1 now"):
        train.train_and_evaluate(short, tmp_path / "grown")


@pytest.mark.thorough
@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_a_schedule_that_ends_with_the_epochs_refuses_more(small_config, tmp_path, schedule):
    train.train_and_evaluate(of_epochs(small_config, 1, name=schedule), tmp_path / "run")
    with pytest.raises(ConfigError, match=f"schedule.name={schedule} the learning rate") as caught:
        train.train_and_evaluate(of_epochs(small_config, 2, name=schedule), tmp_path / "run")
    assert "total_epochs: 1 there, 2 now" in str(caught.value)


@pytest.mark.parametrize("name", schedules.SCHEDULES)
def test_the_schedules_that_may_grow_are_those_that_know_no_end(name):
    def factors(total):
        plan = schedules.Plan(
            total, steps_per_epoch=10, warmup_steps=5, milestones=(2,), drop_epochs=2
        )
        made = schedules.make_schedule(name, plan)
        return [float(made(step)) for step in range(40)]

    assert (factors(40) == factors(80)) == (name in rules.OPEN_ENDED)
