"""Optimizers of Optax by name, options of ours, clipping, and what decays."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax import contrib
from quick_jit import quick_jit

from cifar_jax import config as config_lib
from cifar_jax import train
from cifar_jax.config import options
from cifar_jax.errors import ConfigError
from cifar_jax.train import optax_optimizers, optimizers
from cifar_jax.train.hyper import make_hyper

START = {"kernel": jnp.linspace(-1, 1, 12).reshape(3, 4), "bias": jnp.linspace(0.5, 1, 4)}
RATES = (0.1, 0.05, 0.02)


def gradient(params, step):
    return jax.tree.map(lambda leaf: jnp.sin((step + 1) * leaf + 1), params)


def ours(name, decay=0.0, **given):
    """Parameters after a step at each of RATES."""
    made = optimizers.make_optimizer(name, weight_decay=decay > 0, **given)
    optimizer = made(make_hyper(1.0, weight_decay=decay))
    params, state = START, optimizer.init(START)
    for step, rate in enumerate(RATES):
        direction, state = optimizer.update(gradient(params, step), state, params)
        params = jax.tree.map(lambda p, d, rate=rate: p - rate * d, params, direction)
    return params


def theirs(make, **given):
    """The same of Optax's function with RATES as its schedule."""
    optimizer = make(learning_rate=lambda step: jnp.asarray(RATES)[step], **given)
    params, state = START, optimizer.init(START)
    for step in range(len(RATES)):
        updates, state = optimizer.update(gradient(params, step), state, params)
        params = optax.apply_updates(params, updates)
    return params


def assert_close(one, other, **tolerance):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), one, other)


@pytest.mark.parametrize(
    ("name", "make", "given"),
    [
        ("adabelief", optax.adabelief, {"b1": 0.8}),
        pytest.param("radam", optax.radam, {}, marks=pytest.mark.thorough),
        pytest.param("novograd", optax.novograd, {"eps": 1e-3}, marks=pytest.mark.thorough),
        pytest.param("yogi", optax.yogi, {}, marks=pytest.mark.thorough),
        ("sgd", optax.sgd, {"momentum": 0.9, "nesterov": True}),
        ("adamw", optax.adamw, {"weight_decay": 0.1}),
        pytest.param("ademamix", contrib.ademamix, {}, marks=pytest.mark.thorough),
    ],
)
def test_an_optimizer_of_optax_under_our_schedule_is_that_with_its_own(name, make, given):
    assert_close(ours(f"optax:{name}", options=given), theirs(make, **given), rtol=1e-5, atol=1e-6)


def test_weight_decay_is_ours_and_decoupled():
    assert_close(
        ours("optax:adamw", decay=0.1), theirs(optax.adamw, weight_decay=0.1), rtol=1e-5, atol=1e-6
    )
    assert_close(ours("optax:adamw"), theirs(optax.adamw, weight_decay=0.0), rtol=1e-5, atol=1e-6)


@pytest.mark.thorough
def test_every_one_that_optax_has_is_taken_or_refused_in_a_line():
    taken = []
    for name in optax_optimizers.known():
        try:
            named = f"optax:{name}"
            optax_optimizers.direction(named, optax_optimizers.named(named), {})
        except ConfigError as error:
            assert "\n" not in str(error) and f"optax:{name}" in str(error)
        else:
            taken.append(name)
    assert {"adabelief", "adamax", "lamb", "lion", "nadam", "sgd", "yogi"} <= set(taken)
    assert not {"schedule_free_sgd", "schedule_free_adamw"} & set(taken)


@pytest.mark.parametrize(
    ("name", "given", "same"),
    [
        ("adam", {"b1": 0.8, "eps": 1e-3}, optax.adam),
        ("adamw", {"b2": 0.9}, lambda **given: optax.adamw(weight_decay=0.0, **given)),
        ("adan", {"b3": 0.9}, optax.adan),
    ],
)
def test_options_of_ours_are_optaxs(name, given, same):
    assert_close(ours(name, options=given), theirs(same, **given), rtol=1e-5, atol=1e-6)
    with pytest.raises(AssertionError):
        assert_close(ours(name), theirs(same, **given), rtol=1e-5, atol=1e-6)


def test_kernels_alone_decay():
    every, none = ours("sgd", decay=0.5), ours("sgd")
    kernels = ours("sgd", decay=0.5, weight_decay_for="kernels")
    np.testing.assert_array_equal(kernels["kernel"], every["kernel"])
    np.testing.assert_array_equal(kernels["bias"], none["bias"])
    assert not np.allclose(every["bias"], none["bias"])


def test_the_norm_is_clipped_before_anything_else():
    made = optimizers.make_optimizer("sgd", clip_norm=1.0)(make_hyper(1.0))
    state = made.init(START)
    for scale, length in ((10.0, 1.0), (1e-3, None)):
        given = jax.tree.map(lambda leaf, scale=scale: scale * leaf, START)
        direction, _ = made.update(given, state, START)
        whole = float(optax.global_norm(given))
        assert float(optax.global_norm(direction)) == pytest.approx(length or whole, rel=1e-5)
        factor = (length or whole) / whole
        assert_close(direction, jax.tree.map(lambda x, f=factor: f * x, given), rtol=1e-5)


@pytest.mark.thorough
def test_runs_of_several_rates_in_one_program():
    made = optimizers.make_optimizer("optax:adabelief", clip_norm=1.0)

    def run(rate):
        optimizer = made(make_hyper(rate))
        direction, _ = optimizer.update(gradient(START, 0), optimizer.init(START), START)
        return jax.tree.map(lambda p, d: p - rate * d, START, direction)

    rates = jnp.array([0.1, 0.2])
    together = quick_jit(jax.vmap(run))(rates)
    for i, rate in enumerate(rates):
        alone = run(rate)
        assert_close(jax.tree.map(lambda x, i=i: x[i], together), alone, rtol=1e-5, atol=1e-6)


def test_options_are_read():
    assert options.parse("") == {}
    read = options.parse("b1=0.9, eps=1e-6,nesterov=True,ns_steps=3")
    assert read == {"b1": 0.9, "eps": 1e-6, "nesterov": True, "ns_steps": 3}
    assert type(read["ns_steps"]) is int


@pytest.mark.parametrize(
    "text", ["b1", "b1=", "=3", "b1=x", "b1=1,b1=2", "b1=nan", "b 1=2", "b1=inf"]
)
def test_what_is_no_option(text):
    config = config_lib.default()
    config.optimizer.options = text
    with pytest.raises(ConfigError, match=r"optimizer\.options"):
        config_lib.check(config)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("optax:adabelive", {}, "no optimizer 'adabelive'; did you mean `adabelief`"),
        ("optax:adabelief", {"b3": 1}, "no option 'b3'; did you mean `b"),
        ("optax:adabelief", {"learning_rate": 1.0}, "no option 'learning_rate'"),
        ("optax:schedule_free_sgd", {}, "can't stand under"),
        ("optax:sgd", {"momentum": "x"}, "can't be used here"),
        ("adam", {"beta1": 0.9}, "no option 'beta1'; did you mean `b1`"),
        ("sgd", {"b1": 0.9}, "no option 'b1'; it has none"),
    ],
)
def test_what_is_refused(name, given, message):
    with pytest.raises(ConfigError, match=message):
        optimizers.make_optimizer(name, options=given)


def test_decay_for_kernels_needs_a_decay():
    config = config_lib.default()
    config.optimizer.weight_decay_for = "kernels"
    with pytest.raises(ConfigError, match="weight_decay above 0"):
        config_lib.check(config)


@pytest.mark.thorough
def test_a_run_with_all_of_it_goes_on_as_the_uninterrupted_one(small_config, tmp_path):
    small_config.optimizer.update(
        {"name": "optax:adabelief", "options": "b1=0.8", "clip_norm": 1.0, "learning_rate": 0.01}
    )
    small_config.optimizer.update({"weight_decay": 0.01, "weight_decay_for": "kernels"})
    small_config.total_epochs = 2
    config = config_lib.check(small_config)
    summary = train.train_and_evaluate(config, tmp_path / "run")
    assert summary["test_accuracy"] > 0.2
    again = train.train_and_evaluate(config, tmp_path / "run")
    assert again["test_accuracy"] == summary["test_accuracy"]
