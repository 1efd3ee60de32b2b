"""configs/speedrun.py: what it takes from the data, and a short training of the whole recipe."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from command_line import ROOT
from few_images import few_images

from cifar_jax import config as config_lib
from cifar_jax import data, models, train, trained
from cifar_jax.models import airbench_net, weight_files
from cifar_jax.sweep import stack as stack_lib
from cifar_jax.train.setup import build, initial_variables


@pytest.fixture
def config():
    """The speed run on digits, small enough for a CPU."""
    config = config_lib.load(ROOT / "configs/speedrun.py")
    config.dataset.name = "digits"
    config.update({"dtype": "float32", "batch_size": 32, "eval_batch_size": 120, "total_epochs": 1})
    config.update({"log_every_steps": 15, "tensorboard": False})
    config.optimizer.weight_decay = 2e-6 * 32 / 0.24
    return config_lib.check(config)


def kernel_of(variables):
    return np.asarray(variables["batch_stats"]["whiten"]["kernel"])


@pytest.mark.thorough
def test_whitening_is_of_the_first_training_images_in_a_run_and_in_a_sweep(
    config, tmp_path, monkeypatch
):
    monkeypatch.setattr(models.registry, "FROM_DATA", 100)
    dataset = few_images(120, 12)
    run = build(config, dataset)
    images, _ = dataset.split("train")
    indices, _ = data.stratified_split(images[:, 0, 0, 0], 0.0, 0)
    normalized = np.float32((images[indices[:100]] / 255 - dataset.mean) / dataset.std)
    expected = np.asarray(airbench_net.whitening_kernel(normalized))
    whitening = kernel_of(initial_variables(run))
    np.testing.assert_allclose(whitening, expected, rtol=1e-3, atol=1e-3)
    make_programs = functools.partial(stack_lib.make_programs, runs=2)
    together = build(config, dataset, make_programs)
    other = config.copy_and_resolve_references()
    other.seed = 1
    members = stack_lib.create(together, [config, other]).members
    for kernel in kernel_of(members.state.variables):
        np.testing.assert_array_equal(kernel, whitening)

    # Weights of a file bring their own.
    shapes = models.registry.shapes("airbench_net")
    ones = jax.tree.map(lambda leaf: np.ones(leaf.shape, np.float32), shapes)
    weight_files.write(tmp_path / "ones.npz", models.to_torch("airbench_net", ones))
    run.config.model.weights = str(tmp_path / "ones.npz")
    assert (kernel_of(initial_variables(run)) == 1).all()


@pytest.mark.thorough
def test_it_learns_and_keeps_its_whitening(config, tmp_path, monkeypatch):
    digits, sizes = data.load("digits"), {"train": 480, "test": 120}

    def read(split):
        return tuple(array[: sizes[split]] for array in digits.split(split))

    few = dataclasses.replace(digits, sizes=sizes, read=read)
    monkeypatch.setattr(data, "load", lambda *_, **__: few)
    whitening = kernel_of(initial_variables(build(config, few)))
    summary = train.train_and_evaluate(config, tmp_path / "run")
    assert summary["test_accuracy"] > 0.8
    last = trained.open_model(tmp_path / "run", "last").variables
    np.testing.assert_array_equal(kernel_of(last), whitening)
    # Each convolution is one step away from the norm that every step brings it back to.
    for name, layer in last["params"].items():
        if "_conv" in name:
            assert np.linalg.norm(layer["kernel"]) == pytest.approx(
                np.sqrt(layer["kernel"].shape[-1]), rel=0.1
            )
