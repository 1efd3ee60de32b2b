"""Fine-tuning: a new last layer, frozen layers, a learning rate for the backbone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import small_net
from flax.traverse_util import flatten_dict
from test_steps import CLASSES, PLAIN, make_data, make_state

from cifar_jax import config as config_lib
from cifar_jax import models
from cifar_jax.errors import ConfigError
from cifar_jax.train import augment, fine_tuning, losses, optimizers, steps
from cifar_jax.train.hyper import make_hyper

AS_IS = augment.Augmentation()


@pytest.fixture(autouse=True)
def registered():
    with small_net.registered():
        yield


def file_of(name, classes, names=None):
    """A state dict of random numbers."""
    random = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: random.normal(size=leaf.shape).astype(np.float32), models.shapes(name, classes)
    )
    return variables, models.to_torch(name, variables, names)


@pytest.mark.parametrize(
    ("name", "names", "head"),
    [
        ("basic_net", "cifar_jax", "fc3"),
        ("resnet10", "kuangliu", "fc"),
        pytest.param("resnet10", "torchvision", "fc", marks=pytest.mark.thorough),
        pytest.param("vgg16_bn", "kuangliu", "fc", marks=pytest.mark.thorough),
    ],
)
def test_all_is_taken_but_the_last_layer(name, names, head):
    variables, arrays = file_of(name, 7, names)
    given = models.from_torch(name, arrays, 3, new_head=True)
    expected = {path: leaf for path, leaf in flatten_dict(variables).items() if path[1] != head}
    assert given.keys() == variables.keys() and models.last_layers(name) == (head,)
    given = flatten_dict(given)
    assert given.keys() == expected.keys()
    assert all(np.array_equal(given[path], expected[path]) for path in expected)


def test_a_last_layer_of_as_many_classes_is_taken():
    _, arrays = file_of("basic_net", 7)
    assert "fc3" in models.from_torch("basic_net", arrays, 7, new_head=True)["params"]


def test_what_differs_elsewhere_is_refused():
    _, arrays = file_of("basic_net", 7)
    with pytest.raises(ConfigError, match=r"fc3.weight has shape \(7, 84\), not \(3, 84\)"):
        models.from_torch("basic_net", arrays, 3)
    for change, said in (
        ({"conv1.weight": np.zeros((6, 3, 3, 3))}, "conv1.weight has shape"),
        ({"fc3.weight": np.zeros((7, 80))}, "fc3.weight has shape"),  # another backbone's
        ({"fc3.bias": np.zeros(8)}, "fc3.bias has shape"),
    ):
        with pytest.raises(ConfigError, match=said):
            models.from_torch("basic_net", arrays | change, 3, new_head=True)


def config_of(freeze, factor=1.0, layers=""):
    config = config_lib.default()
    config.model.update({"name": small_net.NAME, "freeze": freeze, "weights": "some.npz"})
    config.optimizer.update({"backbone_factor": factor, "layer_factors": layers})
    return config_lib.check(config)


def stepped(tuning, **changes):
    """The state before and after three steps."""
    recipe = dataclasses.replace(PLAIN, augmentation=AS_IS, fine_tuning=tuning, **changes)
    start = make_state(recipe)
    before = jax.tree.map(np.asarray, start)
    programs, data = steps.make_programs(recipe), make_data()
    order = programs.epoch_order(start.key, 0, len(data.labels))
    return before, programs.train_steps(start, data, order, 3)[0]


def unchanged(before, after):
    """The arrays, by layer and name, that are the same bits."""
    before, after = (
        flatten_dict({"params": each.params, "batch_stats": each.batch_stats}, sep="/")
        for each in (before, after)
    )
    return {name for name in before if np.array_equal(before[name], after[name])}


@pytest.mark.parametrize(
    "optimizer",
    [
        "sgd",
        *(pytest.param(name, marks=pytest.mark.thorough) for name in ("adamw", "muon", "airbench")),
    ],
)
def test_frozen_layers_stay_bit_for_bit(optimizer):
    """Through weight decay, momentum and what airbench does to kernels; all others move."""
    tuning = fine_tuning.of_config(config_of("conv, bn"), CLASSES)
    momentum = optimizer == "sgd"
    made = optimizers.make_optimizer(optimizer, momentum=momentum, weight_decay=True)
    project = optimizers.projection(optimizer)
    before, after = stepped(tuning, optimizer=made, project=project)
    assert unchanged(before, after) == {
        *("params/conv/kernel", "params/conv/bias", "params/bn/scale", "params/bn/bias"),
        *("batch_stats/bn/mean", "batch_stats/bn/var"),
    }


def test_a_frozen_backbone_leaves_the_last_layer():
    before, after = stepped(fine_tuning.of_config(config_of("backbone"), CLASSES))
    moved = {f"params/fc/{leaf}" for leaf in ("kernel", "bias")}
    everything = flatten_dict(
        {"params": before.params, "batch_stats": before.batch_stats}, sep="/"
    ).keys()
    assert everything - unchanged(before, after) == moved


@pytest.mark.thorough
def test_a_frozen_batch_norm_normalises_by_its_running_statistics():
    """With all but the last layer frozen a step's loss is that of an evaluation."""
    tuning = fine_tuning.of_config(config_of("backbone"), CLASSES)
    data = make_data()
    recipe = dataclasses.replace(PLAIN, augmentation=AS_IS, fine_tuning=tuning)
    start = make_state(recipe)
    stats = jax.tree.map(lambda x: x + 0.5, start.batch_stats)
    start = start.replace(batch_stats=stats)
    order = jnp.arange(len(data.labels))
    _, counted = jax.jit(steps.train_step, static_argnums=0)(
        recipe, start, recipe.no_metrics(), data, order
    )
    few = slice(recipe.batch_size)
    logits = recipe.logits(start.variables, recipe.normalize(data.images(few)))
    expected = jnp.mean(losses.cross_entropy(logits, data.labels[few]))
    np.testing.assert_allclose(counted.compute()["loss"], expected, rtol=1e-5)


@pytest.mark.thorough
def test_the_backbone_learns_at_its_own_rate():
    """One step of plain SGD: half the way, and the last layer all of it."""
    plain = optimizers.make_optimizer("sgd")

    def moved(factor):
        recipe = dataclasses.replace(
            PLAIN,
            augmentation=AS_IS,
            optimizer=plain,
            fine_tuning=fine_tuning.of_config(config_of("", factor), CLASSES),
        )
        start = make_state(recipe).replace(step=jnp.int32(3))  # after the warm-up
        data = make_data()
        after, _ = jax.jit(steps.train_step, static_argnums=0)(
            recipe, start, recipe.no_metrics(), data, jnp.arange(len(data.labels))
        )
        return flatten_dict(jax.tree.map(lambda a, b: a - b, after.params, start.params))

    whole, half = moved(1.0), moved(0.5)
    for path, step in whole.items():
        share = 1 if path[0] == "fc" else 0.5
        np.testing.assert_allclose(half[path], share * step, rtol=1e-3, atol=1e-7)
        assert np.any(step) or path == ("conv", "bias")  # which batch norm takes away


# small_net: conv, bn, conv2 and fc.
RATES = {"conv": 0.1, "bn": 0.0, "conv2": 0.5, "fc": 3.0}
AS_TEXT = "conv=0.1, bn=0,fc=3"  # and 0.5 for the backbone
OPTAX = {
    "sgd": (lambda rate: optax.sgd(rate, momentum=0.9), {"momentum": True}),
    "adam": (optax.adam, {}),
}


@pytest.mark.parametrize("name", OPTAX)
def test_rates_by_layer_are_those_of_optaxs_multi_transform(name):
    """Over three steps, of gradients that are not nought."""
    theirs_of, options = OPTAX[name]
    tuning = fine_tuning.of_config(config_of("", 0.5, AS_TEXT), CLASSES)
    start = models.shapes(small_net.NAME, CLASSES)["params"]
    start = jax.tree.map(lambda x: jnp.linspace(-1, 1, x.size).reshape(x.shape), start)
    labels = {layer: jax.tree.map(lambda _, own=layer: own, start[layer]) for layer in start}
    theirs = optax.multi_transform(
        {layer: theirs_of(0.2 * RATES[layer]) for layer in start}, labels
    )
    ours = optimizers.make_optimizer(name, **options)(make_hyper(0.2, momentum=0.9))
    params, state, expected, their_state = start, ours.init(start), start, theirs.init(start)
    for step in range(3):
        gradient = jax.tree.map(lambda x, step=step: jnp.sin((step + 1) * x + 1), start)
        direction, state = ours.update(gradient, state, params)
        params = tuning.update(params, params, direction, 0.2)
        updates, their_state = theirs.update(gradient, their_state, expected)
        expected = optax.apply_updates(expected, updates)
    for path, leaf in flatten_dict(params).items():
        np.testing.assert_allclose(leaf, flatten_dict(expected)[path], rtol=1e-5, atol=1e-6)
        assert np.array_equal(leaf, flatten_dict(start)[path]) == (path[0] == "bn")


def test_a_factor_of_nought_keeps_weights_and_not_statistics():
    before, after = stepped(fine_tuning.of_config(config_of("", layers="conv=0,bn=0"), CLASSES))
    kept = "conv/kernel", "conv/bias", "bn/scale", "bn/bias"
    assert unchanged(before, after) == {f"params/{each}" for each in kept}


@pytest.mark.thorough
def test_freezing_keeps_statistics_beside_factors():
    """And the layers with a factor of nought that are not frozen still move theirs."""
    tuning = fine_tuning.of_config(config_of("bn", layers="conv=0,bn=1"), CLASSES)
    before, after = stepped(tuning)
    assert {"batch_stats/bn/mean", "batch_stats/bn/var"} <= unchanged(before, after)
    assert {"params/bn/scale", "params/conv/kernel"} <= unchanged(before, after)
    assert "params/conv2/kernel" not in unchanged(before, after)


def test_the_longest_name_counts():
    """Before the backbone's factor and the last layer's, and after what is frozen."""
    tuning = fine_tuning.FineTuning(
        ("stem",),
        ("fc",),
        0.5,
        (("stage1_block1/conv1/bn", 4.0), ("stage1_block1", 2.0), ("stem", 9.0), ("fc", 7.0)),
    )
    layers = (
        "stage1_block1/conv1/bn",
        "stage1_block1/conv1/conv",
        "stage1_block10/conv",
        "stem",
        "fc",
    )
    assert [tuning.factor(layer) for layer in layers] == [4, 2, 0.5, 0, 7]


def test_a_stage_stands_for_its_blocks():
    """Unless a block has a name of its own there."""
    config = config_lib.default()
    config.model.update({"name": "resnet10", "weights": "some.npz", "freeze": "stage4"})
    factors = "stage2_block1/conv1=0.3,stage1=0.1,stage3_block1=0.2,stage3=0.4"
    config.optimizer.layer_factors = factors
    tuning = fine_tuning.of_config(config_lib.check(config), CLASSES)
    expected = {"stage1_block1/conv2/bn": 0.1, "stage2_block1/conv1/conv": 0.3, "fc": 1.0}
    expected |= {"stage2_block1/conv2/conv": 1.0, "stage3_block1/conv1/conv": 0.2}
    expected |= {"stage4_block1/conv1/conv": 0.0}
    assert {layer: tuning.factor(layer) for layer in expected} == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "conv3=1",
            "optimizer.layer_factors: small_net has no layer 'conv3'; did you mean `conv`?",
        ),
        ("conv", "'conv' is no LAYER=FACTOR, or stands twice; such as stage1="),
        ("conv=1,conv=2", "'conv=2' is no LAYER=FACTOR, or stands twice"),
        ("=1", "'=1' is no LAYER=FACTOR"),
        ("conv=-0.1", "the factor of conv must be a number of 0 to 100"),
        ("conv=101", "the factor of conv must be a number of 0 to 100"),
        ("conv=true", "the factor of conv must be a number of 0 to 100"),
        ("conv=nan", "'nan' is no number"),
        ("conv=0,bn=0,conv2=0,fc=0", "fc=0: every layer of small_net would stay as it is"),
    ],
)
def test_factors_that_are_refused(text, said):
    with pytest.raises(ConfigError, match=said):
        fine_tuning.of_config(config_of("", layers=text), CLASSES)


@pytest.mark.parametrize(
    ("freeze", "said"),
    [
        ("conv3", "small_net has no layer 'conv3'; did you mean `conv`?"),
        (" ,", "model.freeze=' ,' names no layer"),
        ("conv,bn,conv2,fc", "every layer of small_net would stay as it is"),
    ],
)
def test_what_can_not_be_frozen(freeze, said):
    with pytest.raises(ConfigError, match=said):
        fine_tuning.of_config(config_of(freeze), CLASSES)


def test_freezing_needs_weights():
    config = config_lib.default()
    config.model.freeze = "backbone"
    with pytest.raises(ConfigError, match="give that, too"):
        config_lib.check(config)


def test_a_block_stands_for_its_layers():
    tuning = fine_tuning.FineTuning(frozen=("stage1_block0",), head=("fc",), backbone_factor=0.1)
    layers = "stage1_block0/conv1/bn", "stage1_block01/conv1", "stem/conv", "fc"
    assert [tuning.factor(layer) for layer in layers] == [0, 0.1, 0.1, 1]
