"""Optimizers and schedules against PyTorch's formulas, written out in NumPy."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cifar_jax import optim

STEPS, RATE = 20, 0.05


def gradients(seed=0):
    return np.random.default_rng(seed).normal(size=(STEPS, 3)).astype(np.float64)


def run_ours(name, **options):
    with jax.enable_x64(True):
        optimizer = optim.make_optimizer(name, **options)
        params = jnp.array([1.0, -2.0, 3.0])
        state = optimizer.init(params)
        for gradient in gradients():
            direction, state = optimizer.update(jnp.asarray(gradient), state, params)
            params = params - RATE * direction
        return np.asarray(params)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_sgd_is_torchs(momentum, decay):
    params, buffer = np.array([1.0, -2.0, 3.0]), None
    for gradient in gradients():
        gradient = gradient + decay * params
        buffer = gradient if buffer is None else momentum * buffer + gradient
        params = params - RATE * buffer
    ours = run_ours("sgd", momentum=momentum, weight_decay=decay)
    np.testing.assert_allclose(ours, params, rtol=1e-12)


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_adam_is_torchs(decay):
    params, m, v = np.array([1.0, -2.0, 3.0]), 0.0, 0.0
    for step, gradient in enumerate(gradients(), 1):
        gradient = gradient + decay * params
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        root = np.sqrt(v) / math.sqrt(1 - 0.999**step) + 1e-8
        params = params - RATE / (1 - 0.9**step) * m / root
    np.testing.assert_allclose(run_ours("adam", weight_decay=decay), params, rtol=1e-10)


def test_unknown_names_raise():
    with pytest.raises(ValueError, match="unknown optimizer"):
        optim.make_optimizer("sdg")
    with pytest.raises(ValueError, match="unknown schedule"):
        optim.make_schedule("cosin", 0.1, 10)


def test_schedules():
    constant = optim.make_schedule("constant", 0.1, 100)
    assert float(constant(0)) == float(constant(99)) == pytest.approx(0.1)
    cosine = optim.make_schedule("cosine", 0.1, 100, warmup_steps=10)
    rates = [float(cosine(step)) for step in range(101)]
    np.testing.assert_allclose(rates[:11], np.linspace(0, 0.1, 11), atol=1e-8)
    expected = [0.05 * (1 + math.cos(math.pi * i / 90)) for i in range(91)]
    np.testing.assert_allclose(rates[10:], expected, atol=1e-7)
    plateau = optim.make_schedule("plateau", 0.1, 100)
    assert float(plateau(50)) == pytest.approx(0.1)


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


@settings(max_examples=60, deadline=None)
@given(
    options=PLATEAUS,
    metrics=st.lists(st.integers(-16, 16).map(lambda x: x / 8), min_size=1, max_size=30),
    min_lr=st.sampled_from([0.0, 0.2]),
    eps=st.sampled_from([1e-8, 0.3]),
)
def test_plateau_is_torchs(options, metrics, min_lr, eps):
    theirs = TorchPlateau(**options, min_lr=min_lr, eps=eps)
    ours = optim.plateau_init(options["mode"])
    for metric in metrics:
        theirs.step(metric)
        ours = optim.plateau_update(
            ours, jnp.float32(metric), **options, min_scale=min_lr, eps_scale=eps
        )
        assert float(ours.scale) == pytest.approx(theirs.lr, rel=1e-5)
        assert int(ours.bad_epochs) == theirs.bad and int(ours.cooldown) == theirs.counter
