"""A loss that is NaN at the first step: the message names what of it was NaN; and data that would have made it so."""

import dataclasses
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from cifar_jax import data, models, train
from cifar_jax.errors import TrainingDiverged
from cifar_jax.models import weight_files
from cifar_jax.train import divergence
from cifar_jax.train import setup as run_lib

NAN = float("nan")


@pytest.fixture(scope="module")
def first_run(module_config):
    """A run before its first step."""
    return run_lib.build(module_config, data.load("digits"))


def with_recipe(run, **changes):
    return dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, **changes))


def with_weights(monkeypatch, run, change):
    start = run_lib.initial_state(run)
    changed = start.replace(params=change(start.params))
    monkeypatch.setattr(divergence, "initial_state", lambda _: changed)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mean": (0.5, NAN, 0.5)}, "the mean of digits is (0.5, nan, 0.5)"),
        ({"std": (0.5, 0.5, float("inf"))}, "the standard deviation of digits is (0.5, 0.5, inf)"),
        ({"std": (0.5, 1e-5, 0.5), "dtype": jnp.dtype("float16")}, "images are, once normalised"),
        pytest.param(
            {"loss": lambda *_: jnp.float32(NAN)},
            "and so are the logits (up to .*), but not the loss cross_entropy",
            marks=pytest.mark.thorough,
        ),
        pytest.param({}, "and so is the loss without augmentation (2.", marks=pytest.mark.thorough),
    ],
)
def test_what_is_not_finite_is_named(first_run, changes, said):
    message = divergence.at_start(with_recipe(first_run, **changes))
    before, _, after = said.partition(".*")
    assert before in message and after in message and "learning_rate" not in message


@pytest.mark.thorough
def test_weights_and_logits_that_are_not_finite(first_run, monkeypatch):
    with_weights(monkeypatch, first_run, lambda params: params | {"conv2": {"kernel": NAN}})
    assert "the weights of conv2.kernel are, as the model draws" in divergence.at_start(first_run)
    with_weights(monkeypatch, first_run, lambda params: jax.tree.map(lambda x: 1e30 * x, params))
    message = divergence.at_start(first_run)
    assert "the model's logits are not, in float32" in message and "weights up to " in message


def test_later_only_what_is_known_is_said(first_run, tmp_path):
    class Manager:
        folder = tmp_path

        def latest_step(self):
            return 20

    message = divergence.message(first_run, 31, "the loss", 0.25, Manager())
    known = (
        f"at step 31; the learning rate was 0.25; the last good checkpoint is {tmp_path}/20. Try"
    )
    assert known in message and "float32" not in message  # which it is already


@pytest.mark.thorough
def test_a_run_whose_weights_are_too_great_says_so(quick_config, tmp_path):
    shapes = models.registry.shapes("basic_net")
    great = jax.tree.map(lambda leaf: np.full(leaf.shape, 1e30, np.float32), shapes)
    weight_files.write(tmp_path / "w.npz", models.to_torch("basic_net", great))
    quick_config.model.weights = str(tmp_path / "w.npz")
    with pytest.raises(TrainingDiverged) as caught:
        train.train_and_evaluate(quick_config, tmp_path / "run", Console(file=io.StringIO()))
    message = str(caught.value)
    assert "the loss became NaN or infinite at step 0, before any update; images, stat" in message
    assert (
        "weights up to 1e+30" in message
        and "logits are not" in message
        and "learning" not in message
    )


def constant_channel(dataset):
    """The data set with a second channel of one value."""

    def read(split):
        images, labels = dataset.split(split)
        images = images.copy()
        images[..., 1] = 7
        return images, labels

    mean, std = data.dataset.mean_and_std("digits", read("train")[0])
    assert mean[1] == pytest.approx(7 / 255) and std[1] == 0
    return dataclasses.replace(dataset, mean=mean, std=std, read=read)


def test_a_constant_channel_is_centred_only(module_config):
    dataset = constant_channel(data.load("digits"))
    recipe = run_lib.make_recipe(module_config, dataset, steps_per_epoch=1)
    images = dataset.split("train")[0][:50]
    normalized = np.asarray(recipe.normalize(images))
    np.testing.assert_allclose(normalized[..., 1], 0, atol=1e-6)
    others = (images[..., ::2] / 255 - dataset.mean[0]) / dataset.std[0]
    np.testing.assert_allclose(normalized[..., ::2], others, atol=1e-5)
    assert "channel 1 has one value" in run_lib.remark_on_data(module_config, dataset)
    assert not run_lib.remark_on_data(module_config, data.load("digits"))


@pytest.mark.thorough
def test_a_constant_channel_trains_and_is_said(quick_config, tmp_path, monkeypatch):
    dataset, said = constant_channel(data.load("digits")), io.StringIO()
    monkeypatch.setattr(data, "load", lambda *_: dataset)
    summary = train.train_and_evaluate(quick_config, tmp_path, Console(file=said))
    assert summary["test_accuracy"] > 0.3
    assert said.getvalue().count("digits: channel 1 has one value in all training images") == 1
