"""Progressive resizing: the images of each epoch, and what a training of them is."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command_line import ROOT
from few_images import few_images
from PIL import Image
from small_net import SIDE
from test_steps import IMAGES, PLAIN, assert_close, make_data, make_recipe, make_state

from cifar_jax import config as config_lib
from cifar_jax.errors import ConfigError
from cifar_jax.machine.compilation import jit
from cifar_jax.train import steps
from cifar_jax.train.resizing import Resizing, resize
from cifar_jax.train.setup import build

PER_EPOCH = IMAGES // PLAIN.batch_size


@pytest.mark.parametrize(("before", "after"), [(32, 16), (32, 20), (16, 24)])
def test_images_are_those_of_pillow(before, after):
    images = np.random.default_rng(0).normal(size=(2, before, before, 3)).astype(np.float32)
    size = (after, after)
    expected = [
        [
            np.asarray(Image.fromarray(channel).resize(size, Image.Resampling.BILINEAR))
            for channel in image
        ]
        for image in images.transpose(0, 3, 1, 2)
    ]
    resized = np.asarray(resize(jnp.asarray(images), after)).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(resized, expected, atol=1e-5)


def test_each_epoch_has_its_size_and_the_last_one_stays():
    resizing = Resizing((12, 16, 12, 8), steps_per_epoch=5)
    images = jnp.zeros((1, 16, 16, 3))
    # The side is told by a number: the shapes of what comes out are the same for all.
    side = jax.jit(functools.partial(resizing.apply, lambda images, more: images.shape[1] + more))
    sides = [int(side(jnp.int32(step), images, 100)) - 100 for step in (0, 4, 5, 9, 10, 15, 20, 99)]
    assert sides == [12, 12, 16, 16, 12, 8, 8, 8]


class Smaller(steps.Recipe):
    """A recipe whose images are all small."""

    def normalize(self, images):
        return resize(super().normalize(images), 6)


def a_step(recipe, number):
    """The state and metrics after the step of that number."""
    state, data = make_state(recipe), make_data()
    state = state.replace(step=jnp.int32(number))
    order = steps.epoch_order(state.key, 0, IMAGES)
    return jit(recipe.train_step)(state, recipe.no_metrics(), data, order)


@pytest.mark.parametrize(
    "number",
    [PER_EPOCH - 1, *(pytest.param(each, marks=pytest.mark.thorough) for each in (0, PER_EPOCH))],
)
@pytest.mark.thorough
def test_a_step_is_that_of_a_recipe_of_such_images(number):
    resized = a_step(make_recipe(resizing=Resizing((6, SIDE), PER_EPOCH)), number)
    alike, other = PLAIN, Smaller(**vars(PLAIN))
    if number < PER_EPOCH:
        alike, other = other, alike
    assert_close(resized, a_step(alike, number), rtol=1e-5, atol=1e-6)
    with pytest.raises(AssertionError):
        assert_close(resized, a_step(other, number), rtol=1e-5, atol=1e-6)


@pytest.mark.thorough
def test_a_run_that_goes_on_in_the_epoch_of_another_size_is_the_uninterrupted_one():
    recipe = make_recipe(resizing=Resizing((6, SIDE), 2))
    programs, data = steps.make_programs(recipe), make_data()
    order = programs.epoch_order(make_state(recipe).key, 0, IMAGES)
    whole, _ = programs.train_steps(make_state(recipe), data, order, 4)
    part, _ = programs.train_steps(make_state(recipe), data, order, 3)
    part, _ = programs.train_steps(part, data, order, 1)
    jax.tree.map(np.testing.assert_array_equal, part, whole)


@pytest.mark.parametrize(
    ("name", "sides", "message"),
    [
        ("basic_net", (16, 32), "image_sizes=.16, 32.*basic_net.*16 x 16"),
        ("airbench_net", (8, 32), "airbench_net.*8 x 8"),
    ],
)
def test_a_model_that_takes_no_such_images_refuses_them(name, sides, message):
    config = config_lib.load(ROOT / "configs/quickstart.py")
    config.model.name = name
    config.augment.image_sizes = sides
    with pytest.raises(ConfigError, match=message):
        build(config_lib.check(config), few_images(40, 10))


def test_a_size_out_of_bounds_is_refused():
    config = config_lib.load(ROOT / "configs/quickstart.py")
    config.augment.image_sizes = (16, 4)
    with pytest.raises(ConfigError, match=r"augment\.image_sizes"):
        config_lib.check(config)


def test_the_speed_run_of_the_cpu_has_a_size_for_each_epoch():
    config = config_lib.load(f"{ROOT / 'configs/speedrun.py'}:cpu")
    assert len(config.augment.image_sizes) == config.total_epochs
    assert config.augment.image_sizes[-1] == config.dataset.image_size
    config.update({"batch_size": 16, "eval_batch_size": 10})
    assert build(config, few_images(40, 10)).recipe.resizing.steps_per_epoch == 2
