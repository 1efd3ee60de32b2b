"""A run's first state is made while its steps are compiled: once, for the same state, and with the same errors."""

import contextlib
import io

import jax
import numpy as np
import pytest
from rich.console import Console

from cifar_jax import config as config_lib
from cifar_jax import data, train
from cifar_jax.train import setup as setup_lib
from cifar_jax.train import start


@contextlib.contextmanager
def compiled():
    """The names of the programs that are compiled within."""
    names = []

    def note(event, seconds, fun_name=None, **_):
        if event.endswith("backend_compile_duration"):
            names.append(fun_name)

    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        yield names
    finally:
        jax.monitoring.unregister_event_duration_listener(note)


@pytest.fixture
def setup(small_config):
    config = config_lib.check(small_config)
    return setup_lib.build(config, data.load(config.dataset.name))


def test_the_steps_are_compiled_once_and_the_state_is_the_same(setup):
    with compiled() as names:
        state, seconds = start.with_programs(setup)
        order = setup.programs.epoch_order(state.key, 0, len(setup.train.labels))
        setup.programs.train_steps(state, setup.train, order, 1)
    assert [name for name in names if "train_steps" in name] == ["jit(train_steps)"]
    assert sum("epoch_order" in name for name in names) == 1
    assert seconds > 0
    alone, _ = start.alone(setup)
    made, _ = start.with_programs(setup)
    jax.tree.map(np.testing.assert_array_equal, made, alone)


def test_what_fails_beside_is_raised(small_config, tmp_path, monkeypatch):
    def fail(*_):
        raise MemoryError("too large a program")

    monkeypatch.setattr(start, "compile_steps", fail)
    with pytest.raises(MemoryError, match="too large"):
        train.train_and_evaluate(small_config, tmp_path / "run", Console(file=io.StringIO()))
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_run_that_is_there_compiles_nothing_beside(small_config, tmp_path, monkeypatch):
    console = Console(file=io.StringIO())
    first = train.train_and_evaluate(small_config, tmp_path / "run", console)
    monkeypatch.setattr(start, "compile_steps", None)
    again = train.train_and_evaluate(small_config, tmp_path / "run", console)
    assert again["params_sha256"] == first["params_sha256"]
    assert first["compile_seconds"] > 0
