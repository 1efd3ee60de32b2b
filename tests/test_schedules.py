"""Schedules and the plateau against their formulas and PyTorch's transcribed one."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cifar_jax.train import monitors, schedules
from cifar_jax.train.schedules import Plan


def factors(name, plan):
    schedule = jax.jit(schedules.make_schedule(name, plan))
    return np.array([schedule(jnp.int32(step)) for step in range(plan.total_steps + 1)])


@pytest.mark.parametrize("name", schedules.SCHEDULES)
@pytest.mark.parametrize("total_steps", [1, 2, 3, 40])
def test_every_registered_schedule(name, total_steps):
    """A float32 factor between 0 and 1, also for the shortest training."""
    rates = factors(name, Plan(total_steps, steps_per_epoch=2, milestones=(3,), drop_epochs=4))
    assert rates.dtype == np.float32 and np.isfinite(rates).all()
    assert rates.min() >= 0 and rates.max() <= 1 + 1e-6
    if total_steps == 40:
        assert (rates.min() < 0.5) != (name in ("constant", "plateau"))


def test_constant_and_warmup():
    np.testing.assert_array_equal(factors("constant", Plan(100)), 1)
    np.testing.assert_array_equal(factors("plateau", Plan(100)), 1)
    cosine = factors("cosine", Plan(100, warmup_steps=10))
    np.testing.assert_allclose(cosine[:11], np.linspace(0, 1, 11), atol=1e-7)
    expected = [0.5 * (1 + math.cos(math.pi * i / 90)) for i in range(91)]
    np.testing.assert_allclose(cosine[10:], expected, atol=1e-6)


def test_drops_come_at_epochs_of_the_training_warmup_included():
    plan = Plan(40, steps_per_epoch=4, warmup_steps=2, drop_factor=0.5, drop_epochs=3)
    epochs = np.arange(41) // 4
    expected = 0.5 ** (epochs // 3)
    expected[:2] = 0, 0.5
    np.testing.assert_allclose(factors("step", plan), expected, rtol=1e-6)
    plan = Plan(40, steps_per_epoch=4, factor=0.2, milestones=(2, 3, 7))
    expected = 0.2 ** ((epochs >= 2) * 1 + (epochs >= 3) + (epochs >= 7))
    np.testing.assert_allclose(factors("multistep", plan), expected, rtol=1e-6)


def test_linear_ends_at_zero_after_the_last_step_and_begins_after_the_warmup():
    rates = factors("linear", Plan(40, warmup_steps=8))
    np.testing.assert_allclose(rates[:9], np.arange(9) / 8, atol=1e-7)
    np.testing.assert_allclose(rates[8:], 1 - np.arange(33) / 32, atol=1e-6)
    np.testing.assert_allclose(factors("linear", Plan(4)), [1, 0.75, 0.5, 0.25, 0], atol=1e-7)


def test_unknown_schedule_raises():
    with pytest.raises(ValueError, match="unknown schedule"):
        schedules.make_schedule("cosin", Plan(10))


class TorchPlateau:
    """torch.optim.lr_scheduler.ReduceLROnPlateau, transcribed line by line; float64."""

    def __init__(self, mode, factor, patience, threshold, threshold_mode, cooldown, min_lr, eps):
        self.__dict__.update(locals())
        self.lr, self.bad, self.counter = 1.0, 0, 0
        self.best = math.inf if mode == "min" else -math.inf

    def better(self, a):
        if self.threshold_mode == "rel":
            epsilon = 1.0 - self.threshold if self.mode == "min" else self.threshold + 1.0
            return a < self.best * epsilon if self.mode == "min" else a > self.best * epsilon
        if self.mode == "min":
            return a < self.best - self.threshold
        return a > self.best + self.threshold

    def step(self, metric):
        if self.better(metric):
            self.best, self.bad = metric, 0
        else:
            self.bad += 1
        if self.counter > 0:
            self.counter -= 1
            self.bad = 0
        if self.bad > self.patience:
            new = max(self.lr * self.factor, self.min_lr)
            if self.lr - new > self.eps:
                self.lr = new
            self.counter, self.bad = self.cooldown, 0


PLATEAUS = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(["min", "max"]),
        "factor": st.sampled_from([0.1, 0.5]),
        "patience": st.integers(0, 4),
        # Powers of two and metrics on a grid of eighths: exact in float32 as in float64.
        "threshold": st.sampled_from([0.0, 2.0**-10, 0.25]),
        "threshold_mode": st.sampled_from(["rel", "abs"]),
        "cooldown": st.integers(0, 3),
    }
)


update = jax.jit(monitors.plateau_update, static_argnames=("mode", "threshold_mode"))


@settings(max_examples=60, deadline=None)
@given(
    options=PLATEAUS,
    metrics=st.lists(st.integers(-16, 16).map(lambda x: x / 8), min_size=1, max_size=30),
    min_lr=st.sampled_from([0.0, 0.2]),
    eps=st.sampled_from([1e-8, 0.3]),
)
def test_plateau_is_torchs(options, metrics, min_lr, eps):
    theirs = TorchPlateau(**options, min_lr=min_lr, eps=eps)
    ours = monitors.plateau_init(options["mode"])
    for metric in metrics:
        theirs.step(metric)
        ours = update(ours, np.float32(metric), **options, min_scale=min_lr, eps_scale=eps)
        assert float(ours.scale) == pytest.approx(theirs.lr, rel=1e-5)
        assert int(ours.bad_epochs) == theirs.bad and int(ours.cooldown) == theirs.counter


def test_plateau_scales_of_a_base_rate_that_is_zero_are_harmless():
    scales = monitors.plateau_scales(jnp.array([0.0, 0.5]), 0.25)
    np.testing.assert_allclose(scales["min_scale"], [0, 0.5])
    np.testing.assert_allclose(scales["eps_scale"], [0, 2e-8], rtol=1e-6)
