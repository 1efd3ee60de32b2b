"""Images that stay on the host are trained on as those on the device, in one process."""

import contextlib
import io

import jax
import numpy as np
import pytest
import small_net
from rich.console import Console

from cifar_jax import data, train
from cifar_jax.errors import ConfigError
from cifar_jax.machine import mesh as mesh_lib
from cifar_jax.machine import runtime
from cifar_jax.train import loop, steps
from cifar_jax.train import setup as run_lib
from cifar_jax.train import streaming as stream

IMAGES = np.random.default_rng(0).integers(0, 256, (23, 4, 4, 3), dtype=np.uint8)
LABELS = np.arange(23, dtype=np.int32)


def outcome(config, folder):
    return train.train_and_evaluate(config, folder, Console(file=io.StringIO()))


@pytest.fixture(scope="module")
def resident(module_config, tmp_path_factory):
    module_config.model.name = small_net.NAME
    with small_net.registered():
        return outcome(module_config, tmp_path_factory.mktemp("resident") / "run")


@pytest.fixture
def streaming(small_config):
    small_config.dataset.residency = "stream"
    return small_config


def test_streamed_is_resident(streaming, resident, tmp_path):
    """The parameters bit for bit: the same program but for the gather; and every figure of the evaluations."""
    streamed = outcome(streaming, tmp_path / "run")
    assert streamed["params_sha256"] == resident["params_sha256"]
    assert streamed["checkpoints"] == resident["checkpoints"]


@pytest.mark.thorough
def test_resumed_in_the_middle_of_an_epoch_is_uninterrupted(
    streaming, resident, tmp_path, monkeypatch
):
    """... and a run may go on with its images elsewhere."""
    caught, interval = [], loop.RunTraining.interval

    def signalled(*arguments):
        caught.append(15)
        return interval(*arguments)

    def catch():

        return contextlib.nullcontext(caught)

    monkeypatch.setattr(loop.runtime, "catch_signals", catch)
    monkeypatch.setattr(loop.RunTraining, "interval", signalled)
    with pytest.raises(runtime.Interrupted, match=r"step \d+; saved"):
        outcome(streaming, tmp_path / "run")
    monkeypatch.undo()
    assert outcome(streaming, tmp_path / "run")["params_sha256"] == resident["params_sha256"]


@pytest.mark.parametrize("start", [0, 3, 7])
def test_batches_are_those_of_the_resident_form(start):
    """23 images in batches of 5: four a pass, the order new in each; from any step on."""
    key, rows = jax.random.PRNGKey(1), np.random.default_rng(2).permutation(23)
    host = stream.host_data(IMAGES, LABELS, rows)
    placed = stream.Placed(mesh_lib.data_mesh(), 5)
    batches = list(stream.training_batches(host, key, placed, 5, 9, 3, start))
    assert len(batches) == 9 - start
    for step, (images, labels, indices) in enumerate(batches, start):
        order = np.asarray(steps.epoch_order(key, step // 4, 23))[step % 4 * 5 :][:5]
        np.testing.assert_array_equal(indices, order)
        np.testing.assert_array_equal(labels, LABELS[rows[order]])
        np.testing.assert_array_equal(images, IMAGES[rows[order]])


def test_evaluation_counts_every_image_once():
    host = stream.host_data(IMAGES, LABELS)
    placed = stream.Placed(mesh_lib.data_mesh(), 10)
    seen = [
        np.asarray(labels)[mask]
        for _, labels, mask in stream.evaluation_batches(host, placed, 10, 2)
    ]
    np.testing.assert_array_equal(np.concatenate(seen), LABELS)


def test_no_more_than_asked_for_is_on_the_devices():
    placed, taken = [], stream.ahead(iter(range(9)), lambda item: placed.append(item) or item)
    assert next(taken) == 0 and placed == [0, 1, 2]
    assert list(taken) == list(range(1, 9))


@pytest.mark.parametrize(("size", "expected"), [(10, False), (49, False), (51, True)])
def test_auto_is_by_size(small_config, monkeypatch, size, expected):
    monkeypatch.setattr(runtime, "available_bytes", lambda: 100)
    mesh = mesh_lib.data_mesh()
    assert run_lib.streams(small_config, size, mesh) is expected
    small_config.dataset.residency = "device"
    assert not run_lib.streams(small_config, size, mesh)


def test_a_sweep_refuses_to_stream(streaming):
    dataset = data.load("digits", "", "")
    with pytest.raises(ConfigError, match="residency"):
        run_lib.build(streaming, dataset, make_programs=lambda *_: None)
    streaming.dataset.residency, streaming.parallel.backend = "auto", "pmap"
    with pytest.raises(ConfigError, match="parallel"):
        run_lib.build(streaming, dataset, make_programs=lambda *_: None)
