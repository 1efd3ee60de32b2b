"""One device = eight = pmap; a data set shared out, statistics of each device, batches in parts."""

import io
import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from command_line import ROOT
from rich.console import Console

from cifar_jax import config as config_lib
from cifar_jax.errors import ConfigError
from cifar_jax.machine import mesh as mesh_lib
from cifar_jax.sweep import Sweep, driver, grid
from cifar_jax.train import gradients
from cifar_jax.train import spread as spread_lib

# Twenty steps in float64. Sums over shares round otherwise, by some 1e-16 of their size; twenty steps add that up, and
# momentum of 0.9 makes ten of one: 2e-14. The rest is room for what the layers make of it; 5e-14 was seen.
ROUNDING = {"rtol": 1e-11, "atol": 1e-11}

ESSENTIAL = (
    *("one", "eight", "plain", "parts"),
    *("augmented_images", "communication", "communication_per_device", "sweep_communication"),
)
THOROUGH = (
    *("ahead", "ahead_pmap", "ahead_sweep"),
    *("one", "sharded", "share_by_share", "shares_on_devices"),
    *("pmap", "per_device", "per_device_pmap", "plain", "parts_of_eight", "parts_pmap"),
    *("small_first", "small_first_of_eight", "small_first_pmap"),
    *("augmented", "augmented_of_eight", "augmented_pmap"),
    *("run_plain", "run_sharded", "run_pmap", "sweep"),
)


def on_eight_devices(folder, *cases):
    """Lets eight_devices.py write its answers to some cases."""
    folder.mkdir()
    subprocess.run(
        [sys.executable, str(ROOT / "tests/eight_devices.py"), str(folder), *cases],
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


def written(folder):
    """case -> what eight_devices.py has written: a list of leaves, or an object."""
    leaves = {path.stem: list(np.load(path).values()) for path in folder.glob("*.npz")}
    return leaves | {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}


@pytest.fixture(scope="module")
def outcomes(made_once):
    return written(made_once("eight", lambda folder: on_eight_devices(folder, *ESSENTIAL)))


@pytest.fixture(scope="module")
def all_found(made_once):
    return written(made_once("all_ways", lambda folder: on_eight_devices(folder, *THOROUGH)))


def difference(ours, theirs):
    pairs = zip(ours, theirs, strict=True)  # early stopping's best loss so far is infinite
    return max(np.max(np.abs(a - b)) for a, b in pairs if a.dtype == float and np.isfinite(a).all())


def assert_same(ours, theirs):
    for each in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(*each, **ROUNDING)


@pytest.mark.parametrize(("first", "second"), [("one", "eight"), ("plain", "parts")])
def test_the_same_numbers(outcomes, first, second):
    assert_same(outcomes[second], outcomes[first])


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("one", "sharded"),
        ("share_by_share", "shares_on_devices"),
        ("one", "pmap"),
        ("one", "ahead"),
        ("one", "ahead_pmap"),
        ("per_device", "per_device_pmap"),
        ("plain", "parts_of_eight"),
        ("plain", "parts_pmap"),
        ("small_first", "small_first_of_eight"),
        ("small_first", "small_first_pmap"),
        ("augmented", "augmented_of_eight"),
        ("augmented", "augmented_pmap"),
    ],
)
def test_the_same_numbers_in_all_other_ways(all_found, first, second):
    assert_same(all_found[second], all_found[first])


@pytest.mark.thorough
def test_a_run_of_a_sweep_that_is_planned_ahead_is_that_run_alone(all_found):
    leaves = all_found["ahead_sweep"]
    half = len(leaves) // 2
    for together, alone in zip(leaves[:half], leaves[half:], strict=True):
        np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-6)


@pytest.mark.thorough
def test_that_comparison_bites(all_found):
    """Statistics of each device are another computation, and the net has learnt in those steps."""
    assert difference(all_found["per_device"], all_found["one"]) > 1e-3


@pytest.mark.thorough
def test_a_whole_run(all_found):
    """Evaluation, checkpoints, the summary."""
    np.testing.assert_allclose(all_found["run_sharded"], all_found["run_plain"], rtol=1e-3)


@pytest.mark.thorough
def test_a_whole_run_under_pmap(all_found):
    np.testing.assert_allclose(all_found["run_pmap"], all_found["run_plain"], rtol=1e-3)


def test_a_step_sends_gradient_statistics_loss_and_accuracy(outcomes):
    """As docs/scaling.md has it, counted in the compiled program."""
    step = outcomes["communication"]
    assert {each["kind"] for each in step["collectives"]} == {"all-reduce"}
    # Loss and accuracy are a float each.
    expected = 4 * (step["params"] + step["statistics"] + 2)
    assert sum(each["bytes"] for each in step["collectives"]) == expected
    assert len(step["collectives"]) == 3  # for the batch norm, for its gradient, and for all else
    assert step["params"] == 710 and step["statistics"] == 12


def test_statistics_of_each_device_wait_for_the_others_twice_at_most(outcomes):
    step = outcomes["communication_per_device"]
    assert 1 <= len(step["collectives"]) <= 2
    sent = sum(each["bytes"] for each in step["collectives"])
    assert sent == 4 * (step["params"] + step["statistics"] + 2)


def test_eight_devices_augment_their_own_images_as_one_does_and_send_nothing(outcomes):
    found = outcomes["augmented_images"]
    assert found["changed"] > 1000 and found["differ"] == 0 and found["sent"] == []


def test_the_runs_of_a_sweep_send_nothing(outcomes):
    assert outcomes["sweep_communication"]["collectives"] == []


@pytest.mark.thorough
def test_the_runs_of_a_sweep_are_those_of_one_device(all_found, small_config, tmp_path, no_figures):
    cells = grid({"optimizer.learning_rate": [0.001, 0.003, 0.01]})
    given, console = Sweep(small_config, cells, "lr_0.001"), Console(file=io.StringIO())
    rows = driver.train_sweep(given, 1, tmp_path / "sweep", console=console)
    for ours, theirs in zip(all_found["sweep"], rows, strict=True):
        assert (ours["cell"], ours["steps"]) == (theirs["cell"], theirs["steps"])
        assert ours["selected_test_loss"] == pytest.approx(theirs["selected_test_loss"], rel=1e-3)


def test_parts_add_up_to_the_batch():
    """Loss, logits in order and gradient; statistics and keys pass from part to part."""

    def loss_of(params, stats, images, targets, key):
        logits = images @ params
        error = logits - targets
        return (error**2).mean(), (logits, stats + images.sum())

    random = np.random.default_rng(0)
    params, images, targets = (
        random.normal(size=s).astype("float32") for s in ((3, 2), (12, 3), (12, 2))
    )
    batch = (params, np.float32(0), images, targets, jax.random.PRNGKey(0))
    whole = gradients.at_once(loss_of)(*batch)
    parts = jax.jit(gradients.in_parts(gradients.at_once(loss_of), 3))(*batch)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), parts, whole)


@pytest.mark.parametrize(
    ("size", "parts", "devices", "message"),
    [
        (30, 1, 8, "over 8 devices; nearest: 24, 32"),
        (30, 4, 1, "into 4 parts; nearest: 28, 32"),
        (24, 2, 8, "over 8 devices and into 2 parts; nearest: 16, 32"),
        (3, 1, 8, "nearest: 8"),
    ],
)
def test_a_batch_that_does_not_divide_is_refused(size, parts, devices, message):
    config = config_lib.default()
    config.batch_size, config.accumulate_steps = size, parts
    with pytest.raises(ConfigError, match=message):
        spread_lib.check_batch(config, devices)


def test_every_part_of_a_sharded_data_set_is_there():
    mesh = mesh_lib.data_mesh()
    images = np.arange(10 * 4, dtype=np.uint8).reshape(10, 2, 2, 1)
    padded = mesh_lib.padded(images, mesh)
    assert len(padded) % mesh.size == 0
    np.testing.assert_array_equal(padded[:10], images)
