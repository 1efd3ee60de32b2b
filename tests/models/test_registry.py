"""What every registered model must do: a new model is tested by being registered."""

from functools import cache, partial, reduce
from operator import getitem

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_jit import quick_jit
from zero_gradients import has_zero_gradient

from cifar_jax import models
from cifar_jax.errors import ConfigError

BATCH = 4
# resnet18 is resnet10 with more blocks, and slow to compile: counts, initialisation and parity cover it.
NAMES = [name for name in models.names() if name != "resnet18"]


LAST_WIDTH = {
    "plain_cnn": 32,
    "origin_net": 84,
    "modified_net": 64,
    "modified_net_separable": 64,
    "selective_kernel_net": 128,
    "basic_net": 84,
    "wide_net": 84,
    "gap_net": 84,
    "attention_net": 84,
    "resnet18": 512,
    "resnet10": 512,
    "resnet18_dw": 512,
    "big_net": 64,
    "big_net_improved": 64,
}


@pytest.fixture(scope="module")
def images():
    """Noise, each image of another brightness: batch norm of what is equal but for rounding shows rounding."""
    noise = jax.random.normal(jax.random.key(1), (BATCH, 32, 32, 3))
    return noise + jax.random.normal(jax.random.key(2), (BATCH, 1, 1, 3))


@cache
def initial_variables(name):
    """(params, batch_stats), made once."""
    init = quick_jit(models.create(name).init)
    key = jax.random.key(0, impl="rbg")  # The quickest to compile.
    variables = init(key, jnp.zeros((1, 32, 32, 3)))
    return variables["params"], variables.get("batch_stats", {})


def loss_and_updates(model, params, batch_stats, images, key):
    logits, updates = model.apply(
        {"params": params, "batch_stats": batch_stats},
        images,
        train=True,
        rngs={"dropout": key},
        mutable=["batch_stats"],
    )
    labels = jnp.arange(len(images)) % logits.shape[-1]
    loss = -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(len(images)), labels])
    return loss, (logits, updates.get("batch_stats", {}))


@pytest.mark.parametrize("name", models.names())
def test_parameter_count_is_the_reports(name):
    assert models.count_params(name) == models.REGISTRY[name].num_params


@pytest.mark.parametrize("name", models.names())
def test_last_layer_follows_the_number_of_classes(name):
    width = LAST_WIDTH[name]
    assert models.count_params(name, 100) - models.count_params(name, 10) == 90 * (width + 1)


@pytest.mark.parametrize("name", NAMES)
def test_training_step(name, images):
    """Shapes, determinism under the key, moved statistics, and a gradient for every parameter."""
    model, (params, batch_stats) = models.create(name), initial_variables(name)
    traces = []

    @quick_jit
    def step(params, batch_stats, images, key):
        traces.append(name)
        loss = partial(loss_and_updates, model)
        return jax.value_and_grad(loss, has_aux=True)(params, batch_stats, images, key)

    (loss, (logits, moved)), grads = step(params, batch_stats, images, jax.random.key(2))
    assert logits.shape == (BATCH, 10) and logits.dtype == jnp.float32
    assert jnp.isfinite(loss)
    grads = jax.device_get(grads)
    for path, grad in jax.tree_util.tree_leaves_with_path(grads):
        path = [key.key for key in path]
        if has_zero_gradient(name, path):  # But for rounding.
            beside = reduce(getitem, path[:-1], grads)["kernel"]
            assert np.max(np.abs(grad)) < 1e-4 * np.max(np.abs(beside)), f"a gradient at {path}"
        else:
            assert np.any(grad != 0), f"no gradient at {path}"

    assert jax.tree.structure(moved) == jax.tree.structure(batch_stats)
    leaves = (jax.tree.leaves(jax.device_get(tree)) for tree in (batch_stats, moved))
    for before, after in zip(*leaves, strict=True):
        # Behind a ReLU that no image of the batch passes a mean stays 0; a variance moves from 1.
        assert after.dtype == np.float32
        assert np.all(before != after) if np.all(before == 1) else np.mean(before != after) > 0.5

    (_, (again, _)), _ = step(params, moved, images, jax.random.key(2))
    (_, (other, _)), _ = step(params, moved, images, jax.random.key(3))
    np.testing.assert_array_equal(logits, again)
    has_dropout = bool(models.REGISTRY[name].dropout)
    assert jnp.any(logits != other) == has_dropout
    assert len(traces) == 1, "the step was traced again for arguments of the same types"


@pytest.mark.parametrize("name", NAMES)
def test_evaluation(name, images):
    """Needs no key, and an image's logits do not depend on the others of its batch."""
    apply = quick_jit(models.create(name).apply)
    params, batch_stats = initial_variables(name)
    variables = {"params": params, "batch_stats": batch_stats}
    logits = apply(variables, images)
    assert logits.shape == (BATCH, 10) and logits.dtype == jnp.float32
    others = images.at[1:].set(0.0)
    np.testing.assert_allclose(logits[:1], apply(variables, others)[:1], atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16(name, images):
    """Half-precision compute: parameters, statistics and logits stay float32, values stay near."""
    params, batch_stats = initial_variables(name)
    without_dropout = None if models.REGISTRY[name].dropout is None else 0.0
    key = jax.random.key(0)

    def run(dtype):
        model = models.create(name, dtype=dtype, dropout=without_dropout)
        return quick_jit(partial(loss_and_updates, model))(params, batch_stats, images, key)[1]

    (logits, stats), (exact, _) = run(jnp.bfloat16), run(jnp.float32)
    assert logits.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(stats)} <= {jnp.dtype(jnp.float32)}
    assert 0 < jnp.max(jnp.abs(logits - exact)) < 0.2 * jnp.max(jnp.abs(exact))

    init = models.create(name, dtype=jnp.bfloat16).init
    shapes = jax.eval_shape(init, jax.random.key(0), images)
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype(jnp.float32)}


@pytest.mark.parametrize("name", ["basic_net", "resnet18_dw", "big_net"])
def test_models_can_be_trained_side_by_side(name, images):
    """vmap over models, as a sweep does, gives each one's own gradients."""
    model, (params, batch_stats) = models.create(name), initial_variables(name)
    key = jax.random.key(2)

    def grads(params):
        loss = partial(loss_and_updates, model)
        return jax.grad(loss, has_aux=True)(params, batch_stats, images[:2], key)[0]

    both = jax.tree.map(lambda leaf: jnp.stack([leaf, 0.9 * leaf]), params)
    together = jax.device_get(quick_jit(jax.vmap(grads))(both))
    alone = jax.device_get(quick_jit(grads)(jax.tree.map(lambda leaf: leaf[1], both)))
    for ours, theirs in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(ours[1], theirs, atol=1e-4 * np.max(np.abs(theirs)))


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(ConfigError, match="resnet18"):
        models.create("resnet81")


def test_dropout_rate_is_checked():
    assert models.create("resnet10").dropout == 0.5
    assert models.create("resnet10", dropout=0.2).dropout == 0.2
    with pytest.raises(ConfigError, match="no dropout layer"):
        models.create("basic_net", dropout=0.5)
    for rate in (-0.1, 1.0):
        with pytest.raises(ConfigError, match="dropout"):
            models.create("resnet10", dropout=rate)


def test_activation_is_checked():
    assert models.create("plain_cnn").activation == "leaky_relu"
    assert models.create("plain_cnn", activation="relu").activation == "relu"
    with pytest.raises(ConfigError, match="'leaky'.*leaky_relu"):
        models.create("plain_cnn", activation="leaky")
    with pytest.raises(ConfigError, match="no choice"):
        models.create("basic_net", activation="relu")


def test_dropout_may_be_added_to_big_net():
    """Report 004's ablation without batch norm is big_net with the improved form's dropout."""
    assert models.create("big_net").dropout == 0.0
    assert models.create("big_net", dropout=0.2).dropout == 0.2
    assert models.create("big_net_improved").dropout == 0.2
