"""The compiled steps: six in one call = six calls, no transfers, every image once."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_net import SIDE, SmallNet

from cifar_jax import metrics
from cifar_jax.machine.compilation import jit
from cifar_jax.models import inference
from cifar_jax.models.ops import choice
from cifar_jax.train import augment, losses, mixing, optimizers, schedules, state, steps
from cifar_jax.train.hyper import make_hyper
from cifar_jax.train.resizing import Resizing

IMAGES, CLASSES = 50, 10


def make_data(count=IMAGES):
    """The first of IMAGES images."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (IMAGES, SIDE, SIDE, 3), dtype=np.uint8)
    labels = random.integers(0, CLASSES, IMAGES, dtype=np.int32)
    return jax.device_put(steps.make_data(images[:count], labels[:count]))


PLAIN = steps.Recipe(
    model=SmallNet(),
    optimizer=optimizers.make_optimizer("sgd", momentum=True, weight_decay=True),
    schedule=schedules.make_schedule("cosine", schedules.Plan(20, warmup_steps=3)),
    loss=losses.make_loss("cross_entropy"),
    augmentation=augment.Augmentation(crop_padding=2, flip=True, cutout=4),
    mean=(0.5, 0.5, 0.5),
    std=(0.25, 0.25, 0.25),
    dtype=jnp.float32,
    batch_size=8,
    eval_batch_size=16,
    num_classes=CLASSES,
)


def make_recipe(**changes):
    return dataclasses.replace(PLAIN, **changes)


# Recipes are equal where all in them is: tests of the same one compile it once.
make_programs = functools.cache(steps.make_programs)


def make_state(recipe, rate=0.01):
    # Copies, as training donates its state.
    return jax.tree.map(
        jnp.copy, first_state(recipe.model, recipe.optimizer, recipe.ema_decay > 0, rate)
    )


@functools.cache
def first_state(model, optimizer, ema, rate):
    hyper = make_hyper(rate, momentum=0.9, weight_decay=1e-3, label_smoothing=0.1)
    return state.create_state(model, optimizer, hyper, 0, (SIDE, SIDE, 3), ema=ema)


# Everything that has a number of its own or a state.
EVERYTHING = {
    "loss": losses.make_loss("cross_entropy", label_smoothing=True),
    "mix": mixing.Mixing(0.3, 1.0),
    "ema_decay": 0.9,
    "resizing": Resizing((6, SIDE), 3),
}


every_recipe = pytest.mark.parametrize(
    "changes",
    [pytest.param({}, marks=pytest.mark.thorough), EVERYTHING],
    ids=["plain", "everything"],
)


def train(recipe, count, start=None):
    programs, data = make_programs(recipe), make_data()
    start = make_state(recipe) if start is None else start
    order = programs.epoch_order(start.key, 0, IMAGES)
    return programs.train_steps(start, data, order, count)


@functools.cache
def compiled(model):
    return jax.jit(functools.partial(model.apply, train=False))


def logits_of(recipe, variables, images):
    return compiled(recipe.model)(variables, images)


def assert_close(ours, theirs, **tolerance):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), ours, theirs)


@pytest.mark.parametrize(
    "changes",
    [{}, pytest.param(EVERYTHING, marks=pytest.mark.thorough)],
    ids=["plain", "everything"],
)
def test_a_call_of_six_steps_is_a_python_loop_over_the_step(changes):
    recipe, data = make_recipe(**changes), make_data()
    together, sums = train(recipe, 6)
    step, each, counted = jit(recipe.train_step), make_state(recipe), recipe.no_metrics()
    order = steps.epoch_order(each.key, 0, IMAGES)
    for _ in range(6):
        each, counted = step(each, counted, data, order)
    jax.tree.map(np.testing.assert_array_equal, (together, sums), (each, counted))
    assert int(together.step) == 6


@pytest.mark.thorough
@pytest.mark.parametrize("platform", ["tpu", "gpu"])
def test_steps_as_accelerators_do_them_are_the_same(platform):
    """What chance decides is drawn before the loop; for a GPU small arrays are one, and the sums of batch norm are."""
    recipe = make_recipe(**EVERYTHING)
    parts = {"flip_mode": "alternating", "rotation": 10.0, "policy": "randaugment", "erasing": 0.5}
    augmentation = dataclasses.replace(recipe.augmentation, **parts)
    recipe, data = dataclasses.replace(recipe, augmentation=augmentation), make_data()
    each, counted = make_state(recipe), recipe.no_metrics()
    order = steps.epoch_order(each.key, 0, IMAGES)
    with choice.formulations_of(platform):
        ahead, step = steps.make_programs(recipe), jit(recipe.train_step)
        together, sums = ahead.train_steps(make_state(recipe), data, order, 4)
        for _ in range(4):
            each, counted = step(each, counted, data, order)
    assert_close((together, sums), (each, counted), rtol=1e-5, atol=1e-6)


def test_an_evaluation_is_a_python_loop_over_its_batches():
    recipe, data = make_recipe(), make_data()
    variables = make_state(recipe).variables
    together = make_programs(recipe).evaluate(variables, data)
    step, each = jax.jit(recipe.eval_step), recipe.no_eval_metrics()
    for batch in range(-(-IMAGES // recipe.eval_batch_size)):
        each = step(variables, each, data, batch)
    np.testing.assert_array_equal(together.confusion, each.confusion)
    np.testing.assert_allclose(together.loss, each.loss, rtol=1e-6)


@every_recipe
def test_no_host_transfer_within_a_log_interval(changes):
    recipe, data = make_recipe(**changes), make_data()
    programs, start = make_programs(recipe), make_state(recipe)
    order = programs.epoch_order(start.key, 0, IMAGES)
    start, _ = programs.train_steps(start, data, order, 6)  # tracing may make constants
    programs.evaluate(start.variables, data)
    jax.block_until_ready(start)
    count = jax.device_put(6)  # all that a call is told by the host
    with jax.transfer_guard("disallow"):
        start, sums = programs.train_steps(start, data, order, count)
        evaluated = programs.evaluate(start.variables, data)
        jax.block_until_ready((start, sums, evaluated))


def test_the_guard_of_that_test_bites():
    add = jax.jit(lambda x, y: x + y)
    on_device = jnp.float32(1)
    with jax.transfer_guard("disallow"), pytest.raises(Exception, match="[Dd]isallowed"):
        add(on_device, 1.0)


def test_two_calls_are_one():
    recipe = make_recipe()
    once, _ = train(recipe, 6)
    half, _ = train(recipe, 3)
    twice, _ = train(recipe, 3, start=half)
    jax.tree.map(np.testing.assert_array_equal, once, twice)


def test_epoch_order_is_a_permutation_that_epochs_do_not_share():
    key = make_state(make_recipe()).key
    first, again, second = (steps.epoch_order(key, epoch, IMAGES) for epoch in (0, 0, 1))
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(IMAGES))
    np.testing.assert_array_equal(first, again)
    assert (first != second).any()


def test_train_step_is_gradient_descent_on_the_batch():
    """Without augmentation and momentum a step is params - rate * gradient of the mean loss."""
    recipe = make_recipe(
        model=SmallNet(batch_norm=False),
        augmentation=augment.Augmentation(),
        optimizer=optimizers.make_optimizer("sgd"),
        schedule=schedules.make_schedule("constant", schedules.Plan(10)),
    )
    start, data = make_state(recipe, rate=0.1), make_data()
    order = steps.epoch_order(start.key, 0, IMAGES)
    batch = np.asarray(order)[8:16]  # of step 1
    images = (np.asarray(data.images(batch)) / 255 - 0.5) / 0.25

    def loss(params):
        logits = recipe.model.apply({"params": params}, jnp.float32(images), train=True)
        return jnp.mean(losses.cross_entropy(logits, data.labels[batch]))

    value, gradients = jax.jit(jax.value_and_grad(loss))(start.params)
    expected = jax.tree.map(lambda p, g: p - 0.1 * g, start.params, gradients)
    at_one = start.replace(step=jnp.int32(1))
    step = jax.jit(functools.partial(steps.train_step, recipe))
    ours, sums = step(at_one, metrics.TrainMetrics.empty(), data, order)
    assert_close(ours.params, expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(sums.compute()["loss"], value, rtol=1e-5)


def test_a_projection_comes_before_the_update():
    def halved(params):
        return jax.tree.map(lambda leaf: leaf / 2, params)

    def ones(gradients, params):
        return jax.tree.map(jnp.ones_like, gradients)

    schedule = schedules.make_schedule("constant", schedules.Plan(10))
    recipe = make_recipe(
        model=SmallNet(batch_norm=False),
        augmentation=augment.Augmentation(),
        project=halved,
        optimizer=lambda hyper: optax.stateless(ones),
        schedule=schedule,
    )
    expected = jax.tree.map(lambda leaf: leaf / 2 - 0.01, make_state(recipe).params)
    assert_close(train(recipe, 1)[0].params, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.thorough
def test_mixed_labels_count_the_greater_share(monkeypatch):
    """What the model sees, is trained for and is scored by are those of `mix`."""
    model = SmallNet(batch_norm=False)
    recipe = make_recipe(model=model, mix=mixing.Mixing(1.0), augmentation=augment.Augmentation())
    targets = np.eye(CLASSES, dtype=np.float32)[[1] * 8] * 0.4
    targets[:, 7] = 0.6
    given = {}

    def mix(key, images, labels, num_classes, options):
        jax.debug.callback(
            lambda *seen: given.update(zip(("images", "labels"), seen, strict=True)), images, labels
        )
        return images * 0, jnp.asarray(targets)

    monkeypatch.setattr(steps.mixing, "mix", mix)
    start, data = make_state(recipe), make_data()
    order = steps.epoch_order(start.key, 0, IMAGES)
    step = jax.jit(functools.partial(steps.train_step, recipe))
    _, sums = step(start, metrics.TrainMetrics.empty(), data, order)
    jax.effects_barrier()
    logits = recipe.model.apply(start.variables, given["images"] * 0, train=False)
    values = sums.compute()
    np.testing.assert_allclose(values["loss"], recipe.loss(logits, targets), rtol=1e-5)
    assert values["accuracy"] == np.mean(np.argmax(logits, axis=1) == 7)
    np.testing.assert_array_equal(given["labels"], data.labels[order[:8]])


def test_averages_are_of_parameters_and_statistics_and_are_evaluated():
    recipe = make_recipe(ema_decay=0.5)
    states, start = [], make_state(recipe)
    for _ in range(3):
        start, _ = train(recipe, 1, start=start)
        states.append(jax.tree.map(np.asarray, start))  # a copy: the next step donates it
    weights = np.array([1, 2, 4]) / 7
    for part in ("params", "batch_stats"):
        expected = jax.tree.map(
            lambda *seen: sum(w * x for w, x in zip(weights, seen, strict=True)),
            *(getattr(each, part) for each in states),
        )
        assert jax.tree.leaves(expected)
        assert_close(states[-1].averaged[part], expected, rtol=1e-4, atol=1e-6)
        assert states[-1].variables[part] is states[-1].averaged[part]
    without = make_recipe()
    assert make_state(without).averaged == {}


def test_flipped_evaluation_is_the_mean_over_both_images():
    recipe, data = make_recipe(flip=True, eval_batch_size=50), make_data()
    start = make_state(recipe)
    evaluated = make_programs(recipe).evaluate(start.variables, data)
    images = recipe.normalize(data.images(slice(None)))
    first, second = (
        logits_of(recipe, start.variables, each) for each in (images, images[:, :, ::-1])
    )
    mean = (first + second) / 2
    np.testing.assert_allclose(
        evaluated.loss, losses.cross_entropy(mean, data.labels).sum(), rtol=1e-5
    )
    assert np.diagonal(evaluated.confusion).sum() == (mean.argmax(axis=1) == data.labels).sum()


@pytest.mark.parametrize("mirror", [False, True])
def test_translated_evaluation_is_the_weighted_mean_over_its_views(mirror):
    recipe = make_recipe(flip=mirror, translate=2)
    variables, images = (
        make_state(recipe).variables,
        recipe.normalize(make_data(5).images(slice(None))),
    )
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    expected = 0.0
    for weight, row, column in [(0.5, 2, 2), (0.25, 0, 0), (0.25, 4, 4)]:
        view = padded[:, row : row + SIDE, column : column + SIDE]
        for each in (view, view[:, :, ::-1]) if mirror else (view, view):
            expected += weight / 2 * np.asarray(logits_of(recipe, variables, each))
    logits = recipe.logits(variables, images)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)
    plain = dataclasses.replace(recipe, translate=0)
    assert np.abs(logits - plain.logits(variables, images)).max() > 1e-4


def test_alternating_flips_show_each_image_from_both_sides(monkeypatch):
    """What the model sees in epochs 0, 1 and 2, each image found by its first pixel's value."""
    images = np.zeros((IMAGES, SIDE, SIDE, 3), np.uint8)
    images[:, 0, 0, 0] = 1 + np.arange(IMAGES)  # on the left; mirrored, on the right
    data = steps.make_data(jnp.asarray(images), make_data().labels)
    alternating = augment.Augmentation(flip=True, flip_mode="alternating")
    recipe = make_recipe(augmentation=alternating, batch_size=IMAGES)  # a step an epoch
    seen = []

    def look(batch, *options):
        seen.append(np.asarray(batch))
        raise InterruptedError  # the rest of the step is not needed

    monkeypatch.setattr(inference, "normalize", look)
    start = make_state(recipe)
    for step in range(3):
        order = steps.epoch_order(start.key, step, IMAGES)
        at_step = start.replace(step=jnp.int32(step))
        with pytest.raises(InterruptedError):
            steps.train_step(recipe, at_step, metrics.TrainMetrics.empty(), data, order)
    right = np.zeros((3, IMAGES), bool)
    for step, batch in enumerate(seen):
        for side in (0, SIDE - 1):
            values = batch[:, 0, side, 0]
            right[step, values[values > 0] - 1] = side > 0
    assert 10 < right[0].sum() < 40
    np.testing.assert_array_equal(right[1], ~right[0])
    np.testing.assert_array_equal(right[2], right[0])


@pytest.mark.parametrize("count", [1, 15, 16, 17, 50])
def test_evaluation_counts_every_image_once(count):
    recipe, data = make_recipe(), make_data(count)
    variables = make_state(recipe).variables
    summary = metrics.summarize(make_programs(recipe).evaluate(variables, data))
    images = recipe.normalize(make_data().images(slice(None)))
    logits = np.asarray(logits_of(recipe, variables, images), np.float64)[:count]
    labels = np.asarray(data.labels)
    log_likelihood = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    assert summary["count"] == count
    assert summary["accuracy"] == pytest.approx((logits.argmax(axis=1) == labels).mean())
    expected = -log_likelihood[np.arange(count), labels].mean()
    assert summary["loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.thorough
def test_bfloat16_keeps_float32_parameters_and_statistics():
    recipe = make_recipe(model=SmallNet(dtype=jnp.bfloat16), dtype=jnp.bfloat16)
    start = make_state(recipe)
    before = jax.tree.map(np.asarray, start.variables)
    after, sums = train(recipe, 1, start=start)
    for leaf in jax.tree.leaves((after.params, after.batch_stats, after.opt_state)):
        assert leaf.dtype == jnp.float32
    assert np.isfinite(sums.compute()["loss"])
    changed = jax.tree.map(lambda a, b: bool((a != b).any()), before, after.variables)
    assert all(jax.tree.leaves(changed["batch_stats"]))


def test_first_nonfinite_step_is_found():
    recipe = make_recipe(schedule=lambda step: jnp.where(step == 2, jnp.inf, 0.1))
    _, sums = train(recipe, 6)
    assert int(sums.compute()["first_nonfinite"]) == 3  # the first loss after the bad update
    _, sums = train(make_recipe(), 6)
    assert int(sums.compute()["first_nonfinite"]) == metrics.NEVER
