"""What docs/ shows in Python, for a type checker: `mypy` reads this file, nothing runs it."""

from pathlib import Path
from typing import Any, assert_type

import flax.linen as nn
import jax
import ml_collections
import numpy as np
from PIL import Image

from cifar_jax import analysis, config, data, models, plugins, sweep, train, trained
from cifar_jax.analysis.drawn import Drawn
from cifar_jax.analysis.model import Evaluation, Explanation, Model
from cifar_jax.console.summaries import Summary
from cifar_jax.train import augment, losses, optimizers, schedules


class Printing(train.Callback):
    def epoch(
        self, epoch: int, step: int, trained: dict[str, float], validation: dict[str, Any] | None
    ) -> None:
        print(epoch, trained["loss"], validation and validation["accuracy"])


def training() -> None:
    settings = assert_type(config.load("quickstart"), ml_collections.ConfigDict)
    summary = train.train_and_evaluate(settings, Path("runs/first"), callbacks=[Printing()])
    assert_type(summary, Summary)
    assert_type(train.dry_run(settings)["total_seconds"], float)
    assert_type(config.flatten(settings), dict[str, Any])


def asking(images: np.ndarray, labels: np.ndarray) -> None:
    model = assert_type(trained.load("runs/first"), Model)
    several = ["cat.png", Path("dog.png"), Image.new("RGB", (32, 32)), images[0]]
    for each in (model("cat.png"), model(images), model(several), model(jax.numpy.ones(3))):
        assert_type(each, np.ndarray)
    assert_type(model.explain("cat.png", class_name="cat"), Explanation)
    evaluation = assert_type(model.evaluate(images, labels), Evaluation)
    assert_type(evaluation.confusion(), Drawn).save("confusion.png")
    model.curves("step").save(Path("curves.svg"))
    run = assert_type(trained.open_run("runs/first", "last"), trained.Trained)
    normalised = run.inference.normalize(trained.split(run, "test")[0][:100])
    shapes = analysis.layers(run.inference.model, run.variables, normalised.shape)
    assert_type(shapes, dict[str, tuple[int, ...]])
    analysis.activations(run.inference.model, run.variables, normalised, "conv2")


def building() -> None:
    assert_type(models.create("resnet18", num_classes=100), nn.Module)
    variables = assert_type(models.from_torch("resnet18", {}), dict[str, Any])
    assert_type(models.to_torch("resnet18", variables, "torchvision"), dict[str, np.ndarray])
    assert_type(models.pretrained("speedrun"), models.Pretrained)
    images, labels = data.load("digits").split("test")
    assert_type(images, np.ndarray)
    cells = sweep.grid({"optimizer.learning_rate": [0.1, 0.2]})
    sweep.Sweep(config.default(), cells, baseline="lr_0.1")


@models.register("small")
class Small(nn.Module):
    num_classes: int


@losses.register("squares")
def squares(logits: jax.Array, targets: jax.Array) -> jax.Array:
    return ((logits - targets) ** 2).sum(axis=-1)


@schedules.register("sawtooth")
def sawtooth(step: jax.Array, plan: schedules.Plan) -> jax.Array:
    return 1 - (step % plan.steps_per_epoch) / plan.steps_per_epoch


@augment.register("darker")
def darker(key: jax.Array, image: jax.Array) -> jax.Array:
    return image // 2


def registered() -> None:
    """A decorator gives back what it took."""
    plugins.load("my_models.py")
    assert_type(Small(num_classes=3), Small)
    assert_type(squares(jax.numpy.ones((1, 2)), jax.numpy.ones((1, 2))), jax.Array)
    optimizers.register("signs")(lambda learning_rate: None)
    data.register("stripes")(lambda: {})
