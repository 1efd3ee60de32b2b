"""What every registered model must do: a new model is tested by being registered."""

from functools import cached_property, partial

import cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_jit import quick_jit
from tiers import tiered
from zero_gradients import has_zero_gradient, weight_beside

from cifar_jax import models
from cifar_jax.errors import ConfigError
from cifar_jax.models import registry

NAMES = models.names()
KEY = partial(jax.random.key, impl="rbg")  # The quickest to compile.


class Step:
    """(params, batch_stats, images, key) -> ((loss, (logits, batch_stats)), gradients), compiled; and how often."""

    def __init__(self, name, dtype):
        self.model, self.traces = models.create(name, dtype=dtype), 0
        self.run = cases.jit_of(name)(self._run)

    def _run(self, params, batch_stats, images, key):
        self.traces += 1
        loss = jax.value_and_grad(self.loss_and_updates, has_aux=True)
        return loss(params, batch_stats, images, key)

    def loss_and_updates(self, params, batch_stats, images, key):
        logits, updates = self.model.apply(
            {"params": params, "batch_stats": batch_stats},
            images,
            train=True,
            rngs={"dropout": key},
            mutable=["batch_stats", "auxiliary"],
        )
        labels = jnp.arange(len(images)) % logits.shape[-1]
        heads = [logits, *jax.tree.leaves(updates.get("auxiliary", ()))]
        likelihoods = (jax.nn.log_softmax(y)[jnp.arange(len(images)), labels] for y in heads)
        return -sum(map(jnp.mean, likelihoods)), (logits, updates.get("batch_stats", {}))


class Trial:
    """A model, and what more than one test needs of it, made once."""

    def __init__(self, name):
        arrays = (cases.draw(registry.shapes(name)), cases.inputs(cases.Case(name))[0])
        variables, self.images = jax.tree.map(lambda leaf: leaf.astype(np.float32), arrays)
        self.name, self.entry = name, models.REGISTRY[name]
        self.params, self.batch_stats = variables["params"], variables.get("batch_stats", {})

    def run(self, step, batch_stats, key):
        return jax.device_get(step.run(self.params, batch_stats, self.images, KEY(key)))

    @cached_property
    def step(self):
        return Step(self.name, jnp.float32)

    @cached_property
    def stepped(self):
        return self.run(self.step, self.batch_stats, 2)

    def evaluation(self, dtype):
        """The compiled evaluation of images."""
        variables = {"params": self.params, "batch_stats": self.batch_stats}
        apply = cases.jit_of(self.name)(models.create(self.name, dtype=dtype).apply)
        return partial(apply, variables)

    @cached_property
    def evaluate(self):
        return self.evaluation(jnp.float32)

    @cached_property
    def logits(self):
        return jax.device_get(self.evaluate(self.images))


# Values, statistics and gradients are held to recorded ones in test_golden.py; here the shapes and types of all are
# looked at, which needs no compilation, and of those that compile in seconds what they compute.
COMPILED = [*cases.REPORT_MODELS, "resnet9"]
FIRST = ["basic_net", "big_net_improved"]


@pytest.fixture(scope="module", params=tiered(COMPILED, FIRST))
def trial(request):
    """One model after the other, so that one at a time is in memory."""
    return Trial(request.param)


@pytest.mark.parametrize("name", tiered(NAMES, cases.SHALLOW))
def test_parameter_count_is_the_published_one(name):
    assert models.count_params(name) == models.REGISTRY[name].num_params
    assert {leaf.dtype for leaf in jax.tree.leaves(registry.shapes(name))} == {np.dtype("float32")}


@pytest.mark.parametrize("name", tiered(NAMES, cases.SHALLOW))
def test_last_layer_follows_the_number_of_classes(name):
    as_it_is, seven = (jax.tree.leaves(registry.shapes(name, classes)) for classes in (None, 7))
    pairs = [(a.shape, b.shape) for a, b in zip(as_it_is, seven, strict=True) if a.shape != b.shape]
    classes = models.REGISTRY[name].num_classes
    assert pairs and all(a[-1] == classes and b == (*a[:-1], 7) for a, b in pairs)


def test_training_step(trial):
    """Shapes, determinism under the key, moved statistics, and a gradient for every parameter."""
    name, batch_stats = trial.name, trial.batch_stats
    (loss, (logits, moved)), grads = trial.stepped
    assert logits.shape == (len(trial.images), trial.entry.num_classes)
    assert logits.dtype == np.float32 and np.isfinite(loss)
    leaves = jax.tree_util.tree_leaves_with_path(grads)
    grads = {tuple(key.key for key in path): leaf for path, leaf in leaves}
    for path, grad in grads.items():
        if has_zero_gradient(name, path):  # But for rounding.
            beside = grads[weight_beside(path, grads)]
            assert np.max(np.abs(grad)) < 1e-4 * np.max(np.abs(beside)), f"a gradient at {path}"
        else:
            assert np.any(grad != 0), f"no gradient at {path}"

    assert jax.tree.structure(moved) == jax.tree.structure(batch_stats)
    leaves = jax.tree_util.tree_leaves_with_path(batch_stats)
    for (path, before), after in zip(leaves, jax.tree.leaves(moved), strict=True):
        # What was made from the data stays.
        kept = name == "airbench_net" and path[-1].key == "kernel"
        assert after.dtype == np.float32
        assert np.array_equal(before, after) if kept else np.mean(before != after) > 0.99

    (_, (again, _)), _ = trial.run(trial.step, moved, 2)
    (_, (other, _)), _ = trial.run(trial.step, moved, 3)
    np.testing.assert_array_equal(logits, again)
    assert np.any(logits != other) == bool(trial.entry.dropout)
    assert trial.step.traces == 1, "the step was traced again for arguments of the same types"


def test_evaluation(trial):
    """Needs no key, gives other logits than training, and an image's do not depend on the others of its batch."""
    logits, others = trial.logits, trial.images.copy()
    assert logits.shape == (len(trial.images), trial.entry.num_classes)
    assert logits.dtype == np.float32
    others[1:] = 0.0
    scale = np.max(np.abs(logits))
    alone = trial.evaluate(others)[:1]
    np.testing.assert_allclose(logits[:1], alone, atol=1e-5 * scale)
    in_training = trial.stepped[0][1][0]
    differs = bool(trial.batch_stats) or bool(trial.entry.dropout)
    assert np.any(np.abs(logits - in_training) > 1e-3 * scale) == differs


def test_bfloat16(trial):
    """Half-precision compute: logits, and parameters, are float32, and logits near those of float32.

    In evaluation: in training, batch norm of a few values magnifies every rounding. Rounding to 8 bits after each of
    some layers of random weights comes to 4 % at most.
    """
    logits, exact = trial.evaluation(jnp.bfloat16)(trial.images), trial.logits
    assert logits.dtype == np.float32
    assert 0 < np.linalg.norm(logits - exact) < 0.08 * np.linalg.norm(exact)
    shapes = registry.shapes(trial.name, dtype=jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype(jnp.float32)}


@pytest.mark.parametrize("name", tiered(NAMES, cases.SHALLOW))
def test_shapes_and_types_in_bfloat16(name):
    """Logits, parameters, loss and statistics are float32 in half precision too; gradients are as parameters."""
    variables, step = registry.shapes(name), Step(name, jnp.bfloat16)
    params, batch_stats = variables["params"], variables.get("batch_stats", {})
    images = jax.ShapeDtypeStruct(cases.inputs(cases.Case(name))[0].shape, jnp.float32)
    loss, (logits, moved) = jax.eval_shape(
        step.loss_and_updates, params, batch_stats, images, KEY(2)
    )
    evaluation = jax.eval_shape(step.model.apply, variables, images)

    def shapes(tree):
        return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)

    expected = (images.shape[0], models.REGISTRY[name].num_classes), np.float32
    assert shapes(logits) == shapes(evaluation) == expected
    assert (loss.shape, loss.dtype) == ((), np.float32)
    assert shapes(moved) == shapes(batch_stats)


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["attention_net", "resnet18_dw", "big_net_improved"])
def test_training_in_bfloat16(name):
    """Gradients and statistics are float32, and on the whole those of float32."""
    trial = Trial(name)
    (_, (_, exact_stats)), exact_grads = trial.stepped
    (loss, (_, stats)), grads = trial.run(Step(name, jnp.bfloat16), trial.batch_stats, 2)
    assert np.isfinite(loss)
    assert {leaf.dtype for leaf in jax.tree.leaves((stats, grads))} == {np.dtype(np.float32)}
    for ours, exact, tolerance in [(stats, exact_stats, 0.03), (grads, exact_grads, 0.5)]:
        ours, exact = (
            np.concatenate([np.zeros(1), *(x.ravel() for x in jax.tree.leaves(tree))])
            for tree in (ours, exact)
        )
        assert np.linalg.norm(ours - exact) <= tolerance * np.linalg.norm(exact)


# Depthwise convolutions beside each other: test_formulations.py and test_depthwise_kernel.py.
SIDE_BY_SIDE = ["basic_net", "big_net", "resnext29_2x64d", "airbench_net"]


@pytest.mark.thorough
@pytest.mark.parametrize("name", SIDE_BY_SIDE)
def test_models_can_be_trained_side_by_side(name):
    """vmap over models, as a sweep does, gives each one's own gradients."""
    trial, loss = Trial(name), Step(name, jnp.float32).loss_and_updates
    params = trial.params

    def grads(params):
        return jax.grad(loss, has_aux=True)(params, trial.batch_stats, trial.images, KEY(2))[0]

    both = jax.tree.map(lambda leaf: jnp.stack([leaf, 0.9 * leaf]), params)
    together = jax.device_get(quick_jit(jax.vmap(grads))(both))
    alone = jax.device_get(quick_jit(grads)(jax.tree.map(lambda leaf: leaf[1], both)))
    for ours, theirs in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(ours[1], theirs, atol=1e-4 * np.max(np.abs(theirs)))


@pytest.mark.thorough
def test_dropout_rate_may_be_an_array_of_the_program():
    """With the same draws as a number of Python."""
    trial = Trial("big_net_improved")

    def loss(rate):
        step = Step("big_net_improved", jnp.float32)
        step.model = step.model.clone(dropout=rate)
        return step.loss_and_updates(trial.params, trial.batch_stats, trial.images, KEY(0))[0]

    @quick_jit
    def losses(rate, none):
        return loss(rate), loss(0.3), loss(none)

    traced, number, without = losses(0.3, 0.0)
    np.testing.assert_allclose(traced, number, rtol=1e-5)
    assert without != traced


def test_image_size_is_checked():
    for name, size in (("basic_net", 32), ("gap_net", 40), ("resnet10", 64)):
        models.check_images(name, (size, size, 3))
    said = "does not take images of 64 x 64 x 3, but of 32 x 32 x 3: set dataset.image_size=32"
    with pytest.raises(ConfigError, match=said):
        models.check_images("basic_net", (64, 64, 3))


@pytest.mark.thorough
@pytest.mark.parametrize("size", [8, 57, 256])
@pytest.mark.parametrize("name", models.REGISTRY)
def test_images_of_any_size_are_taken_or_refused(name, size):
    """Those that pool over all pixels take any that is left anything of; those that flatten take one."""
    takes = models.registry.takes(name, (size, size, 3))
    # Pools to 7x7, whatever comes; flattens one pixel; its auxiliary head needs a map of 17x17.
    special = {"vgg16": size > 8, "vgg16_bn": size == 57, "inception_v3": False}
    if name in special or models.lookup(name).flattened:
        assert takes == special.get(name, False)
    elif size > 8:
        assert takes


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
