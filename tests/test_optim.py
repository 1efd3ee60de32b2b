"""Optimizers: each registered one, and PyTorch's formulas written out in NumPy."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_jit import quick_jit
from tiers import THOROUGH

from cifar_jax.models.ops import choice
from cifar_jax.train import optimizers
from cifar_jax.train.hyper import Hyperparameters, make_hyper

STEPS, RATE = 20, 0.05


def gradients(seed=0):
    return np.random.default_rng(seed).normal(size=(STEPS, 3)).astype(np.float64)


def run_ours(name, momentum=0.0, weight_decay=0.0, **options):
    with jax.enable_x64(True):
        optimizer = optimizers.make_optimizer(
            name, momentum=momentum > 0, weight_decay=weight_decay > 0, **options
        )(Hyperparameters(RATE, momentum, weight_decay, 0.0, 0.0))
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
    for name, entry in optimizers.OPTIMIZERS.items():
        for decay in (None, "l2", "decoupled"):
            for momentum in {False, entry.takes_momentum}:
                first = decay == "decoupled" and momentum == entry.takes_momentum
                marks = () if first else THOROUGH
                yield pytest.param(
                    name, decay, momentum, id=f"{name}-{decay}-{momentum}", marks=marks
                )


@pytest.mark.parametrize(("name", "decay", "momentum"), registered())
def test_every_registered_optimizer(name, decay, momentum):
    """It lowers a convex loss, with every number a tracer, for several values at once as for each."""
    options = {"weight_decay": decay is not None, "weight_decay_mode": decay or "auto"}
    optimizer = optimizers.make_optimizer(name, momentum=momentum, **options)
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
    train_alone = quick_jit(train)
    alone = [train_alone(hyper) for hyper in hypers]
    together = quick_jit(jax.vmap(train))(jax.tree.map(lambda *x: jnp.stack(x), *hypers))
    for i, (params, state) in enumerate(alone):
        assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((params, state)))
        assert loss(params) < 0.95 * loss(start)
        for one, many in zip(jax.tree.leaves(params), jax.tree.leaves(together[0]), strict=True):
            np.testing.assert_allclose(many[i], one, rtol=1e-3, atol=1e-4)
    assert loss(alone[0][0]) != loss(alone[1][0])


def test_muon_steps_are_nearly_orthogonal_and_biases_are_adams():
    """A step of five Newton-Schulz iterations has singular values near 1, whatever the gradient's."""
    optimizer = optimizers.make_optimizer("muon")(make_hyper(1.0))
    gradient = {
        "kernel": jax.random.normal(jax.random.key(0), (3, 3, 8, 16)),
        "bias": jnp.array([1e-3, -5.0]),
    }
    direction, _ = optimizer.update(gradient, optimizer.init(gradient), gradient)
    singular = np.linalg.svd(np.asarray(direction["kernel"]).reshape(72, 16), compute_uv=False)
    assert singular.min() > 0.5 and singular.max() < 1.3
    np.testing.assert_allclose(direction["bias"], [1, -1], rtol=1e-4)


def orthogonalized(matrix, steps=3):
    """Newton-Schulz's quintic iteration as airbench has it, in float64; [out, in]."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix / (np.linalg.norm(matrix) + 1e-7)
    for _ in range(steps):
        gram = x @ x.T if x.shape[0] <= x.shape[1] else x.T @ x
        poly = b * gram + c * gram @ gram
        x = a * x + (poly @ x if x.shape[0] <= x.shape[1] else x @ poly)
    return x


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
@pytest.mark.parametrize("shape", [(3, 3, 2, 5), (1, 2, 3, 8)], ids=["wide", "tall"])
def test_airbench_is_the_original(shape, platform):
    """Four steps of airbench94_muon.py's two optimizers, written out, with a falling rate.

    There the loss is summed over the batch, and each rate has its own weight decay; here a loss is a mean. For a GPU
    the kernels with as many outputs are one, however many inputs they have.
    """
    batch, decay = 7, 2e-6  # a image, as there
    random = np.random.default_rng(2)
    start = {
        "conv": random.normal(size=shape),
        "fewer outputs": random.normal(size=(2, 2, 3, 4)),
        "fewer inputs": random.normal(size=(1, 1, 4, shape[-1])),
        "head": random.normal(size=(4, 2)),
        "bias": random.normal(size=3),
    }
    means = [jax.tree.map(lambda x: random.normal(size=x.shape), start) for _ in range(4)]
    fall = [1.0, 0.75, 0.5, 0.25]

    theirs = {name: value.copy() for name, value in start.items()}
    buffers = dict.fromkeys(start, 0.0)
    for mean, factor in zip(means, fall, strict=True):
        for name, value in start.items():
            others = {"head": (0.67, 0.85), "bias": (0.053, 0.85)}
            rate, momentum = others.get(name, (0.24, 0.6))
            gradient = batch * mean[name]
            if name in others:
                gradient = gradient + decay * batch / rate * theirs[name]
            buffers[name] = momentum * buffers[name] + gradient
            update = gradient + momentum * buffers[name]
            if name not in others:
                outputs = value.shape[-1]
                theirs[name] *= math.sqrt(outputs) / np.linalg.norm(theirs[name])
                matrix = orthogonalized(update.reshape(-1, outputs).T)
                update = matrix.T.reshape(value.shape)
            theirs[name] = theirs[name] - rate * factor * update

    with jax.enable_x64(True), choice.formulations_of(platform):
        optimizer = optimizers.make_optimizer("airbench", weight_decay=True, batch_size=batch)(
            Hyperparameters(0.24, 0.0, decay * batch / 0.24, 0.0, 0.0)
        )
        ours, project = jax.tree.map(jnp.asarray, start), optimizers.projection("airbench")
        state = optimizer.init(ours)
        for mean, factor in zip(means, fall, strict=True):
            direction, state = optimizer.update(jax.tree.map(jnp.asarray, mean), state, ours)
            ours = jax.tree.map(lambda p, d, f=factor: p - 0.24 * f * d, project(ours), direction)
        for name, value in theirs.items():
            np.testing.assert_allclose(ours[name], value, rtol=1e-9, atol=1e-12, err_msg=name)


def test_only_airbench_projects():
    params = {"conv": jnp.ones((3, 3, 2, 16)), "head": jnp.ones((2, 2)), "bias": jnp.ones(3)}
    projected = optimizers.projection("airbench")(params)
    assert jnp.linalg.norm(projected["conv"].ravel()) == pytest.approx(4.0)
    np.testing.assert_array_equal(projected["head"], 1)
    assert [name for name in optimizers.OPTIMIZERS if optimizers.projection(name)] == ["airbench"]


def test_what_is_wrong_raises():
    with pytest.raises(ValueError, match="unknown optimizer"):
        optimizers.make_optimizer("sdg")
    with pytest.raises(ValueError, match="unknown weight_decay_mode"):
        optimizers.make_optimizer("sgd", weight_decay_mode="l1")
    with pytest.raises(ValueError, match="adam has its own momentum"):
        optimizers.make_optimizer("adam", momentum=True)
