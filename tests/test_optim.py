"""Optimizers: each registered one, and PyTorch's formulas written out in NumPy."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cifar_jax import optim
from cifar_jax.hyper import Hyper, make_hyper

STEPS, RATE = 20, 0.05


def gradients(seed=0):
    return np.random.default_rng(seed).normal(size=(STEPS, 3)).astype(np.float64)


def run_ours(name, momentum=0.0, weight_decay=0.0, **options):
    with jax.enable_x64(True):
        optimizer = optim.make_optimizer(
            name, momentum=momentum > 0, weight_decay=weight_decay > 0, **options
        )(Hyper(RATE, momentum, weight_decay, 0.0, 0.0))
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


@pytest.mark.parametrize("name", ["adam", "adamw"])
@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_adam_and_adamw_are_torchs(name, decay):
    params, m, v = np.array([1.0, -2.0, 3.0]), 0.0, 0.0
    for step, gradient in enumerate(gradients(), 1):
        if name == "adam":
            gradient = gradient + decay * params
        else:
            params = params * (1 - RATE * decay)
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        root = np.sqrt(v) / math.sqrt(1 - 0.999**step) + 1e-8
        params = params - RATE / (1 - 0.9**step) * m / root
    np.testing.assert_allclose(run_ours(name, weight_decay=decay), params, rtol=1e-10)


def test_lion_is_the_papers():
    """Chen et al. 2023, Algorithm 2, with decoupled decay."""
    params, moment = np.array([1.0, -2.0, 3.0]), 0.0
    for gradient in gradients():
        sign = np.sign(0.9 * moment + 0.1 * gradient)
        moment = 0.99 * moment + 0.01 * gradient
        params = params - RATE * (sign + 0.01 * params)
    np.testing.assert_allclose(run_ours("lion", weight_decay=0.01), params, rtol=1e-12)


def registered():
    for name, entry in optim.OPTIMIZERS.items():
        for decay in (None, "l2", "decoupled"):
            for momentum in {False, entry.takes_momentum}:
                yield pytest.param(name, decay, momentum, id=f"{name}-{decay}-{momentum}")


@pytest.mark.parametrize(("name", "decay", "momentum"), registered())
def test_every_registered_optimizer(name, decay, momentum):
    """It lowers a convex loss, with every number a tracer, for several values at once as for each."""
    options = {"weight_decay": decay is not None, "decay": decay or "auto"}
    optimizer = optim.make_optimizer(name, momentum=momentum, **options)
    start = {
        "kernel": jnp.linspace(-1, 1, 36).reshape(2, 2, 3, 3),
        "dense": jnp.linspace(1, -1, 8).reshape(4, 2),
        "bias": jnp.array([0.5, -0.5]),
    }

    def loss(params):
        return sum(jnp.sum((leaf - 0.3) ** 2) for leaf in jax.tree.leaves(params))

    def train(hyper):
        def step(carry, _):
            params, state = carry
            direction, state = optimizer(hyper).update(jax.grad(loss)(params), state, params)
            params = jax.tree.map(lambda p, d: p - hyper.learning_rate * d, params, direction)
            return (params, state), None

        state = optimizer(hyper).init(start)
        (params, state), _ = jax.lax.scan(step, (start, state), length=30)
        return params, state

    hypers = [make_hyper(rate, 0.5, 1e-4) for rate in (0.01, 0.02)]
    alone = [jax.jit(train)(hyper) for hyper in hypers]
    together = jax.jit(jax.vmap(train))(jax.tree.map(lambda *x: jnp.stack(x), *hypers))
    for i, (params, state) in enumerate(alone):
        assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((params, state)))
        assert loss(params) < 0.95 * loss(start)
        for one, many in zip(jax.tree.leaves(params), jax.tree.leaves(together[0]), strict=True):
            np.testing.assert_allclose(many[i], one, rtol=1e-3, atol=1e-4)
    assert loss(alone[0][0]) != loss(alone[1][0])


def test_muon_steps_are_nearly_orthogonal_and_biases_are_adams():
    """A step of five Newton-Schulz iterations has singular values near 1, whatever the gradient's."""
    optimizer = optim.make_optimizer("muon")(make_hyper(1.0))
    gradient = {
        "kernel": jax.random.normal(jax.random.key(0), (3, 3, 8, 16)),
        "bias": jnp.array([1e-3, -5.0]),
    }
    direction, _ = optimizer.update(gradient, optimizer.init(gradient), gradient)
    singular = np.linalg.svd(np.asarray(direction["kernel"]).reshape(72, 16), compute_uv=False)
    assert singular.min() > 0.5 and singular.max() < 1.3
    np.testing.assert_allclose(direction["bias"], [1, -1], rtol=1e-4)


def test_what_is_wrong_raises():
    with pytest.raises(ValueError, match="unknown optimizer"):
        optim.make_optimizer("sdg")
    with pytest.raises(ValueError, match="unknown decay"):
        optim.make_optimizer("sgd", decay="l1")
    with pytest.raises(ValueError, match="adam has its own momentum"):
        optim.make_optimizer("adam", momentum=True)
