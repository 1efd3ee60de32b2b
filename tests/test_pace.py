"""A log interval in parts of a second: the same bits, and a display that moves; a dry run, which keeps nothing."""

import io
import os
import re

import jax
import numpy as np
import pytest
from command_line import QUICK, ROOT, run_module
from rich.console import Console

from cifar_jax import config as config_lib
from cifar_jax import train
from cifar_jax.console import progress
from cifar_jax.train import inputs, pace, timing
from cifar_jax.train.setup import build, initial_state


@pytest.fixture
def setup(small_config):
    config = config_lib.check(small_config)
    return build(config, inputs.load_data(config, {}))


@pytest.mark.thorough
def test_parts_add_up_to_the_bits_of_the_whole(setup, monkeypatch):
    """Parts of one step each: nothing is as fast as this second."""
    order = setup.programs.epoch_order(initial_state(setup).key, 0, len(setup.train.labels))
    whole, sums = setup.programs.train_steps(initial_state(setup), setup.train, order, 5)
    monkeypatch.setattr(pace, "SECOND", 0.0)
    told = []
    each = pace.Pace(setup.programs)
    parts, counted = each.train_steps(initial_state(setup), setup.train, order, 5, told.append)
    assert told == [1, 2, 3, 4, 5]
    jax.tree.map(np.testing.assert_array_equal, (parts, counted), (whole, sums))


def test_after_a_first_step_parts_take_a_second(setup, monkeypatch):
    now, calls = [0.0], []

    def slow_steps(state, data, order, count, sums=None):
        calls.append(count)
        now[0] += 0.3 * count
        return state, count + (sums or 0)

    monkeypatch.setattr(pace.time, "perf_counter", lambda: now[0])
    each = pace.Pace(setup.programs._replace(train_steps=slow_steps))
    assert each.train_steps(None, None, None, 8) == (None, 8)
    assert calls == [1, 3, 3, 1]
    assert each.step_seconds == pytest.approx(0.3)


def test_where_numbers_of_steps_have_programs_of_their_own_all_are_one_part(setup):
    calls = []

    def steps(state, data, order, count, sums=None):
        calls.append(count)
        return state, sums

    each = pace.Pace(setup.programs._replace(train_steps=steps, any_count=False))
    each.train_steps(None, None, None, 100)
    assert calls == [100] and each.step_seconds is None


def test_the_bar_moves_within_an_interval():
    console = Console(file=io.StringIO(), width=80, force_terminal=True, highlight=False)
    with progress.Display(100, 2, console) as display:
        display.compiled(3.21)
        display.moved(7)
        assert display._bar.tasks[0].completed == 7
        assert display._bar.tasks[0].description == "first steps"
    assert "compiled in 3.2 s" in console.file.getvalue()


@pytest.mark.thorough
def test_the_start_says_what_runs_and_how_long_it_takes(small_config, tmp_path, monkeypatch):
    monkeypatch.setattr(pace, "FEW_SECONDS", 0.0)
    monkeypatch.setattr(progress, "WORTH_SAYING", 0.0)
    console = Console(file=io.StringIO(), width=200)
    train.train_and_evaluate(small_config, tmp_path / "run", console)
    said = console.file.getvalue()
    assert re.search(r"\d epochs? of \d+ steps of \d+ images", said)
    assert len(re.findall(r"images/s: about .* an epoch, .* in all, until", said)) == 1


def test_a_dry_run_says_the_same_and_keeps_nothing(small_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    console = Console(file=io.StringIO(), width=200)
    seconds = train.dry_run(small_config, console)
    said = console.file.getvalue()
    assert "parameters; digits" in said and "an epoch" in said and "nothing was written" in said
    assert seconds["total_seconds"] >= seconds["epoch_seconds"] > seconds["step_seconds"] > 0
    assert not os.listdir(tmp_path)


def test_of_images_that_grow_each_size_is_timed(setup, monkeypatch):
    epochs = []

    def time_steps(setup, state):
        epochs.append(int(state.step) // setup.steps_per_epoch)
        return float(len(epochs)), state

    monkeypatch.setattr(timing, "time_steps", time_steps)
    setup.config.total_epochs = 5
    setup.config.augment.image_sizes = (16, 24, 16, 32)
    assert timing.time_epochs(setup, initial_state(setup)) == [1.0, 2.0, 1.0, 3.0, 3.0]
    assert epochs == [0, 1, 3]


@pytest.mark.thorough
def test_the_command_line_of_a_dry_run(tmp_path):
    start = "--config", ROOT / "configs/quickstart.py", *QUICK, "--dry_run"
    for workdir in ((), ("--workdir", tmp_path / "run")):
        done = run_module("main", *start, *workdir)
        assert done.returncode == 0 and "nothing was written" in done.stdout, done.stderr
    assert not (tmp_path / "run").exists()
