"""A whole training as one program is the training of the main job."""

import sys

import jax
import jax.flatten_util
import numpy as np
import pytest
import small_net
from command_line import ROOT
from few_images import few_images

from cifar_jax import config as config_lib
from cifar_jax.errors import ConfigError
from cifar_jax.machine import compilation
from cifar_jax.train.setup import build, initial_state

sys.path.append(str(ROOT / "benchmarks"))
import whole_run  # noqa: E402


def ended(run):
    """Of one program."""
    return compilation.jit(whole_run.train_and_test(run))(
        initial_state(run), run.train, run.put(*run.dataset.split("test"))
    )


def step_by_step(run):
    """(TrainState, TrainMetrics of the last epoch, EvalMetrics) of the main job's programs."""
    state = initial_state(run)
    for epoch in range(run.config.total_epochs):
        order = run.programs.epoch_order(state.key, epoch, len(run.train.labels))
        state, sums = run.programs.train_steps(state, run.train, order, run.steps_per_epoch)
    test = run.put(*run.dataset.split("test"))
    return state, sums, run.programs.evaluate(state.variables, test)


def flat(tree):
    return np.asarray(jax.flatten_util.ravel_pytree(tree)[0])


def small():
    """Order, augmentation, dropout, schedule, averages."""
    config = config_lib.load(ROOT / "configs/basic_net.py")
    config.model.name, config.model.dropout = small_net.NAME, 0.2
    config.schedule.name, config.ema.decay, config.augment.crop_padding = "cosine", 0.9, 2
    return config


def speedrun():
    """Whitening from the data, Muon, alternating flips, the test's views."""
    config = config_lib.load(ROOT / "configs/speedrun.py")
    config.dtype, config.optimizer.weight_decay = "float32", 2e-6 * 8 / 0.24
    return config


@pytest.mark.thorough
def test_it_is_the_main_jobs_training(small_nets):
    config = small()
    config.update({"batch_size": 8, "total_epochs": 2})
    config.update({"eval_batch_size": 4, "selection": "last"})
    config.dataset.name, config.dataset.validation_fraction = "digits", 0.0
    run = build(config_lib.check(config), few_images(16, 6))
    whole, (state, sums, tested) = ended(run), step_by_step(run)
    assert int(whole.state.step) == int(state.step) == 4
    for name in ("params", "batch_stats", "averaged"):
        ours, theirs = flat(getattr(whole.state, name)), flat(getattr(state, name))
        # What a few roundings of each of 4 steps may do, of the whole.
        assert np.linalg.norm(ours - theirs) <= 1e-4 * np.linalg.norm(theirs)
    np.testing.assert_array_equal(whole.tested.confusion, tested.confusion)
    np.testing.assert_allclose(whole.tested.loss, tested.loss, rtol=1e-4)
    assert int(whole.trained.loss.count) == 2 * int(sums.loss.count)


@pytest.mark.thorough
def test_what_is_taken_from_the_data_is_taken_within():
    config = speedrun()
    config.dataset.name, config.batch_size = "digits", 16
    run = build(config_lib.check(config), few_images(32, 12))
    text = str(
        jax.make_jaxpr(whole_run.train_and_test(run))(initial_state(run), run.train, run.train)
    )
    assert "eigh" in text


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"schedule.name": "plateau"}, "schedule.name=plateau"),
        ({"early_stopping.patience": 3}, "early_stopping"),
        ({"dataset.residency": "stream"}, "dataset.residency=stream"),
        ({"parallel.backend": "pmap"}, "parallel.backend=pmap"),
    ],
)
def test_what_it_can_not_have_is_refused(small_config, overrides, named):
    small_config.update_from_flattened_dict(overrides)
    run = build(config_lib.check(small_config), few_images(128, 50))
    with pytest.raises(ConfigError, match=named):
        whole_run.train_and_test(run)
