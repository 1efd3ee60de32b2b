"""One device = eight = pmap; a data set shared out, statistics of each device, batches in parts."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from command_line import QUICK, ROOT, run_main
from processes import devices

from cifar_jax import config as config_lib
from cifar_jax import gradients, parallel
from cifar_jax.errors import ConfigError

# Twenty steps in float64. Sums over shares round otherwise, by some 1e-16 of their size; twenty steps add that up, and
# momentum of 0.9 makes ten of one: 2e-14. The rest is room for what the layers make of it; 5e-14 was seen.
ROUNDING = {"rtol": 1e-11, "atol": 1e-11}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """name -> the leaves that eight_devices.py has written."""
    folder = tmp_path_factory.mktemp("eight")
    subprocess.run(
        [sys.executable, str(ROOT / "tests/eight_devices.py"), str(folder)],
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return {path.stem: list(np.load(path).values()) for path in folder.glob("*.npz")}


def difference(ours, theirs):
    pairs = zip(ours, theirs, strict=True)  # early stopping's best loss so far is infinite
    return max(np.max(np.abs(a - b)) for a, b in pairs if a.dtype == float and np.isfinite(a).all())


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("one", "eight"),
        ("one", "sharded"),
        ("one", "pmap"),
        ("per_device", "per_device_pmap"),
        ("share_by_share", "shares_on_devices"),
        ("plain", "parts"),
        ("plain", "parts_of_eight"),
        ("plain", "parts_pmap"),
    ],
)
def test_the_same_numbers(trained, first, second):
    for ours, theirs in zip(trained[second], trained[first], strict=True):
        np.testing.assert_allclose(ours, theirs, **ROUNDING)


def test_that_comparison_bites(trained):
    """Statistics of each device are another computation, and the net has learnt in those steps."""
    assert difference(trained["per_device"], trained["one"]) > 1e-3


@pytest.mark.parametrize("unroll", [False, True], ids=["scan", "unrolled"])
def test_parts_add_up_to_the_batch(unroll):
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
    parts = jax.jit(gradients.in_parts(gradients.at_once(loss_of), 3, unroll))(*batch)
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
        parallel.check_batch(config, devices)


def test_every_part_of_a_sharded_data_set_is_there():
    mesh = parallel.data_mesh()
    images = np.arange(10 * 4, dtype=np.uint8).reshape(10, 2, 2, 1)
    padded = parallel.padded(images, mesh)
    assert len(padded) % mesh.size == 0
    np.testing.assert_array_equal(padded[:10], images)


def test_runs_of_the_command_line(tmp_path):
    """All the rest of a run: evaluation, checkpoints, the summary; basic_net has no batch norm."""
    ways = {
        "plain": (),
        "pmap": ("--config.parallel.backend=pmap", "--config.steps_per_call=scan"),
        "sharded": ("--config.parallel.dataset=sharded", "--config.parallel.batch_norm=per_device"),
    }
    losses = {}
    for name, options in ways.items():
        done = run_main(tmp_path / name, *QUICK, *options, **devices(8))
        assert done.returncode == 0, done.stderr
        rows = map(json.loads, (tmp_path / name / "metrics.jsonl").open())
        losses[name] = [row["loss"] for row in rows]
    for name in ("pmap", "sharded"):
        np.testing.assert_allclose(losses[name], losses["plain"], rtol=1e-3)
