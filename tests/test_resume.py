"""Interrupted and resumed is uninterrupted, bit for bit: the real command line, killed."""

import json
import random
import signal
import time

import numpy as np
import pytest
from command_line import MIRRORED, QUICK, SMALL, run_main
from outcomes import assert_same, outcome, start, wait_for_metrics
from processes import QUICK_XLA, devices

LONG = (*QUICK, "--config.total_epochs=12", "--config.log_every_steps=3")


def test_killed_once_and_resumed(tmp_path, workdir):
    """In the second epoch; `workdir` was trained without a break."""
    killed = tmp_path / "run"
    process = start(killed, *MIRRORED)
    wait_for_metrics(killed, process, more_than=3)
    process.kill()
    process.communicate(timeout=60)
    done = run_main(killed, *MIRRORED)
    assert done.returncode == 0, done.stderr
    assert_same(outcome(killed), outcome(workdir))


@pytest.fixture(scope="module")
def uninterrupted(made_once):
    def make(folder):
        done = run_main(folder / "run", *LONG)
        assert done.returncode == 0, done.stderr

    return outcome(made_once("uninterrupted", make) / "run")


@pytest.mark.thorough
def test_killed_at_random_moments_and_resumed(tmp_path, uninterrupted):
    workdir, moments, kills = tmp_path / "run", random.Random(7), 0
    for attempt in range(20):
        process = start(workdir, *LONG)
        if attempt < 3:
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


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "Ctrl-C"]
)
def test_signal_saves_and_the_rest_is_the_same(tmp_path, uninterrupted, number, code):
    workdir = tmp_path / "run"
    process = start(workdir, *LONG)
    wait_for_metrics(workdir, process, more_than=9)
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == code, errors
    assert "saved" in errors and "Traceback" not in errors
    done = run_main(workdir, *LONG)
    assert done.returncode == 0 and "resuming" in done.stdout
    assert_same(outcome(workdir), uninterrupted)


@pytest.mark.thorough
def test_eight_devices_train_the_same_and_their_checkpoint_opens_on_one(tmp_path):
    workdir, quick = tmp_path / "run", {"XLA_FLAGS": QUICK_XLA}
    assert run_main(workdir, *QUICK, config=SMALL, **quick, **devices(8)).returncode == 0
    summary = json.loads((workdir / "summary.json").read_text())
    assert "as 8 devices" in summary["hardware"]
    done = run_main(
        workdir, *QUICK, config=SMALL
    )  # on one device: reads the checkpoint and evaluates
    assert done.returncode == 0, done.stderr
    again = json.loads((workdir / "summary.json").read_text())
    assert again["params_sha256"] == summary["params_sha256"]
    assert "devices" not in again["hardware"]

    alone = tmp_path / "alone"
    assert run_main(alone, *QUICK, config=SMALL, **quick).returncode == 0
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


@pytest.mark.thorough
def test_eight_devices_do_everything_as_one(tmp_path):
    """Mixing gathers across the devices; averages and early stopping are replicated."""
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
    for name, environment in (("one", {}), ("eight", devices(8))):
        environment |= {"XLA_FLAGS": QUICK_XLA}
        done = run_main(tmp_path / name, *options, config=SMALL, **environment)
        assert done.returncode == 0, done.stderr
        rows = map(json.loads, (tmp_path / name / "metrics.jsonl").open())
        losses.append([row["loss"] for row in rows])
    np.testing.assert_allclose(*losses, rtol=1e-3)


@pytest.mark.thorough
def test_indivisible_batch_names_the_nearest_sizes(tmp_path):
    done = run_main(tmp_path / "run", *QUICK, "--config.batch_size=30", **devices(8))
    assert done.returncode == 2 and "nearest: 24, 32" in done.stderr
