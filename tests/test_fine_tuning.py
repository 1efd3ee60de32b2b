"""Fine-tuning: a new last layer, frozen layers, a learning rate for the backbone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_net
from flax.traverse_util import flatten_dict
from test_steps import CLASSES, PLAIN, make_data, make_state

from cifar_jax import config as config_lib
from cifar_jax import models
from cifar_jax.errors import ConfigError
from cifar_jax.train import augment, fine_tuning, losses, optimizers, steps

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


def config_of(freeze, factor=1.0):
    config = config_lib.default()
    config.model.update({"name": small_net.NAME, "freeze": freeze, "weights": "some.npz"})
    config.optimizer.backbone_factor = factor
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
