"""Interrupted and resumed is uninterrupted, bit for bit: the real command line, killed."""

import contextlib
import json
import os
import random
import signal
import subprocess
import time

import jax
import numpy as np
import pytest
from command_line import QUICK, ROOT, command, run_main

from cifar_jax import checkpoints, models, optim, state
from cifar_jax.hyper import make_hyper

TIMED = {"images_per_second"}
LONG = (*QUICK, "--config.total_epochs=12", "--config.log_every_steps=3")


def outcome(workdir):
    """All that a run leaves behind but its timings: metrics, parameters, optimizer state."""
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    rows = [
        {name: value for name, value in json.loads(line).items() if name not in TIMED}
        for line in lines
    ]
    template = state.create_state(
        models.create("basic_net"), optim.make_optimizer("adam"), make_hyper(0.1), 0, (32, 32, 3)
    )
    with contextlib.closing(checkpoints.open_manager(workdir / "checkpoints")) as manager:
        last, *_ = checkpoints.restore(manager, template, manager.latest_step())
    summary = json.loads((workdir / "summary.json").read_text())
    kept = ("test_accuracy", "validation_accuracy", "params_sha256", "steps", "checkpoints")
    return rows, jax.tree.map(np.asarray, last), {name: summary[name] for name in kept}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("uninterrupted") / "run"
    done = run_main(workdir, *LONG)
    assert done.returncode == 0, done.stderr
    return outcome(workdir)


def assert_same(ours, theirs):
    assert ours[0] == theirs[0]
    jax.tree.map(np.testing.assert_array_equal, ours[1], theirs[1])
    assert ours[2] == theirs[2]


def start(workdir):
    return subprocess.Popen(
        command(workdir, *LONG),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_metrics(workdir, process, more_than=0, timeout=120):
    """Returns once training has written more than so many lines of metrics, or has ended."""
    path, limit = workdir / "metrics.jsonl", time.monotonic() + timeout
    while process.poll() is None:
        if path.exists() and path.read_text().count("\n") > more_than:
            return
        assert time.monotonic() < limit, "training wrote no metrics"
        time.sleep(0.01)


def test_killed_at_random_moments_and_resumed(tmp_path, uninterrupted):
    workdir, moments, kills = tmp_path / "run", random.Random(7), 0
    for attempt in range(20):
        process = start(workdir)
        if attempt < 4:
            wait_for_metrics(workdir, process)
            time.sleep(moments.uniform(0, 1.0))
            process.send_signal(signal.SIGKILL)
        process.communicate(timeout=300)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
        kills += 1
    assert kills >= 2, "the run ended before it was killed twice: make LONG longer"
    assert_same(outcome(workdir), uninterrupted)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "Ctrl-C"]
)
def test_signal_saves_and_the_rest_is_the_same(tmp_path, uninterrupted, number, code):
    workdir = tmp_path / "run"
    process = start(workdir)
    wait_for_metrics(workdir, process, more_than=9)
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == code, errors
    assert "saved" in errors and "Traceback" not in errors
    done = run_main(workdir, *LONG)
    assert done.returncode == 0 and "resuming" in done.stdout
    assert_same(outcome(workdir), uninterrupted)


def test_eight_devices_train_the_same_and_their_checkpoint_opens_on_one(tmp_path, uninterrupted):
    workdir = tmp_path / "run"
    eight = "--xla_force_host_platform_device_count=8"
    flags = f"{os.environ.get('XLA_FLAGS', '')} {eight}".strip()
    assert run_main(workdir, *QUICK, XLA_FLAGS=flags).returncode == 0
    summary = json.loads((workdir / "summary.json").read_text())
    assert "as 8 devices" in summary["hardware"]
    done = run_main(workdir, *QUICK)  # on one device: reads the checkpoint and evaluates
    assert done.returncode == 0, done.stderr
    again = json.loads((workdir / "summary.json").read_text())
    assert again["params_sha256"] == summary["params_sha256"]
    assert "devices" not in again["hardware"]

    alone = tmp_path / "alone"
    assert run_main(alone, *QUICK).returncode == 0
    one, many = (
        [
            row["loss"]
            for row in map(json.loads, (folder / "metrics.jsonl").open())
            if row["split"] == "train"
        ]
        for folder in (alone, workdir)
    )
    # Sums over 8 shards are added in another order: float32 roundings, grown over 40 Adam steps.
    np.testing.assert_allclose(many, one, rtol=1e-3)


def test_eight_devices_do_everything_as_one(tmp_path):
    """Mixing gathers across the devices; averages and early stopping are replicated."""
    eight = "--xla_force_host_platform_device_count=8"
    options = (
        *QUICK,
        "--config.augment.mixup_alpha=0.4",
        "--config.augment.cutmix_alpha=1",
        "--config.loss.label_smoothing=0.1",
        "--config.loss.class_weights=(1,1,1,1,1,2,2,2,2,2)",
        "--config.ema.decay=0.9",
        "--config.augment.flip=true",
        "--config.augment.flip_mode=alternating",
        "--config.evaluation.flip=true",
        "--config.early_stopping.patience=1",
        "--config.schedule.name=one_cycle",
        "--config.optimizer.name=sgd",
        "--config.optimizer.momentum=0.9",
        "--config.optimizer.nesterov=true",
        "--config.optimizer.weight_decay=0.001",
    )
    losses = []
    for name, environment in (("one", {}), ("eight", {"XLA_FLAGS": eight})):
        done = run_main(tmp_path / name, *options, **environment)
        assert done.returncode == 0, done.stderr
        rows = map(json.loads, (tmp_path / name / "metrics.jsonl").open())
        losses.append([row["loss"] for row in rows])
    np.testing.assert_allclose(*losses, rtol=1e-3)


def test_indivisible_batch_names_the_nearest_sizes(tmp_path):
    eight = "--xla_force_host_platform_device_count=8"
    done = run_main(tmp_path / "run", *QUICK, "--config.batch_size=30", XLA_FLAGS=eight)
    assert done.returncode == 2 and "nearest: 24, 32" in done.stderr
