"""What a run does that is asked for more than a fixed number of epochs: early stopping, averages, selection."""

import contextlib
import io

import numpy as np
import pytest
from metrics_file import rows
from rich.console import Console

from cifar_jax import config as config_lib
from cifar_jax import data, train
from cifar_jax.config import kinds
from cifar_jax.console import progress
from cifar_jax.errors import ConfigError
from cifar_jax.machine import runtime
from cifar_jax.train import loop, pace
from cifar_jax.train.setup import build

PER_EPOCH = 1295 // 64


def run(config, folder, **console):
    """Trains within this process; returns the summary and what the user saw."""
    text = io.StringIO()
    summary = train.train_and_evaluate(
        config, folder, Console(file=text, width=200, highlight=False, **console)
    )
    return summary, text.getvalue()


def scripted(monkeypatch, **values):
    """Validation gives the values told, epoch by epoch; the final evaluation is real."""
    epochs = iter(zip(*values.values(), strict=True))
    evaluate = loop.evaluate

    def told(*arguments):
        return evaluate(*arguments) | dict(zip(values, next(epochs), strict=True))

    monkeypatch.setattr(loop, "evaluate", told)


@pytest.fixture
def impatient(small_config):
    """Nothing is an improvement, so it stops two epochs after the first."""
    small_config.total_epochs = 8
    small_config.early_stopping.update(patience=2, min_delta=100.0)
    return config_lib.check(small_config)


@pytest.mark.parametrize("terminal", [False, pytest.param(True, marks=pytest.mark.thorough)])
@pytest.mark.thorough
def test_a_run_that_stops_early_says_so_and_is_then_only_evaluated(impatient, tmp_path, terminal):
    summary, said = run(impatient, tmp_path / "run", force_terminal=terminal)
    reason = "validation_loss did not improve in 2 epochs"
    assert summary["stopped_early"] == reason
    assert summary["epochs"] == 3 and summary["steps"] == 3 * PER_EPOCH
    assert f"stopped early after epoch 3/8: {reason}" in said and "3 epochs, 60 steps" in said
    assert "More epochs" not in said
    assert len(rows(tmp_path / "run", "validation")) == 3
    again, said = run(impatient, tmp_path / "run", force_terminal=terminal)
    assert f"stopped early after epoch 3/8: {reason}" in said
    changing = ("peak_memory_bytes", "images_per_second")
    assert {k: v for k, v in again.items() if k not in changing} == {
        k: v for k, v in summary.items() if k not in changing
    }
    assert len(rows(tmp_path / "run", "validation")) == 3
    assert len(rows(tmp_path / "run", "test")) == 2


def run_in_parts(config, folder, monkeypatch, stops):
    """`run`, stopped by a signal after each of the first epochs and started again."""
    caught, end_epoch = [], loop.RunTraining.end_epoch

    def signalled(*arguments):
        caught.append(15)
        return end_epoch(*arguments)

    monkeypatch.setattr(loop.runtime, "catch_signals", lambda: contextlib.nullcontext(caught))
    monkeypatch.setattr(loop.RunTraining, "end_epoch", signalled)
    for _ in range(stops):
        with pytest.raises(runtime.Interrupted):
            run(config, folder)
        caught.clear()
    monkeypatch.setattr(loop.RunTraining, "end_epoch", end_epoch)
    return run(config, folder)


@pytest.mark.thorough
def test_a_resumed_run_stops_where_the_uninterrupted_one_does(impatient, tmp_path, monkeypatch):
    """The epochs that were waited are in the checkpoint."""
    uninterrupted, _ = run(impatient, tmp_path / "whole")
    resumed, _ = run_in_parts(impatient, tmp_path / "parts", monkeypatch, stops=3)
    for name in ("epochs", "steps", "stopped_early", "params_sha256", "checkpoints"):
        assert resumed[name] == uninterrupted[name], name
    parts, whole = (rows(tmp_path / name, "validation") for name in ("parts", "whole"))
    assert parts == whole


@pytest.mark.thorough
def test_a_resumed_speed_run_is_the_uninterrupted_one(small_config, tmp_path, monkeypatch):
    """Alternating flips go on from the epoch, momentum and Newton-Schulz's from the checkpoint."""
    small_config.augment.update(flip=True, flip_mode="alternating")
    small_config.optimizer.update(name="airbench", learning_rate=2e-4, weight_decay=1e-3)
    small_config.schedule.name = "linear"
    uninterrupted, _ = run(small_config, tmp_path / "whole")
    resumed, _ = run_in_parts(small_config, tmp_path / "parts", monkeypatch, stops=1)
    assert resumed["params_sha256"] == uninterrupted["params_sha256"]
    assert resumed["checkpoints"] == uninterrupted["checkpoints"]
    parts, whole = (rows(tmp_path / name, "validation") for name in ("parts", "whole"))
    assert parts == whole and len(whole) == 2


@pytest.mark.thorough
def test_stops_at_a_gap_and_saves_between_checkpoints(small_config, tmp_path, monkeypatch):
    """The epoch that stops the run is the best of those that were saved: the only one."""
    small_config.total_epochs, small_config.checkpoint.every_epochs = 6, 4
    small_config.early_stopping.max_gap = 10.0
    scripted(monkeypatch, accuracy=[0.95, 0.95, 0.01], loss=[1.0] * 3)
    summary, said = run(small_config, tmp_path / "run")
    assert summary["epochs"] == 3
    assert summary["stopped_early"].startswith("training accuracy is more than 10 points above")
    assert "stopped early after epoch 3/6" in said
    assert summary["checkpoints"]["best"]["step"] == summary["steps"]


@pytest.mark.thorough
def test_a_reason_in_the_last_epoch_stops_nothing_early(impatient, tmp_path):
    impatient.total_epochs = 3
    summary, said = run(impatient, tmp_path / "run")
    assert summary["epochs"] == 3 and summary["stopped_early"] is None
    assert "stopped early" not in said


@pytest.mark.thorough
def test_weights_of_best_validation_loss_are_the_result(small_config, tmp_path, monkeypatch):
    """selection=validation with checkpoint.monitor=validation_loss, whatever the accuracy says."""
    small_config.total_epochs = 4
    small_config.checkpoint.monitor = "validation_loss"
    scripted(monkeypatch, loss=[3.0, 1.0, 2.0, 4.0], accuracy=[0.1, 0.2, 0.3, 0.4])
    summary, _ = run(small_config, tmp_path / "run")
    assert summary["selected"] == "best" and summary["epochs"] == 4
    best, last = summary["checkpoints"]["best"], summary["checkpoints"]["last"]
    assert best["step"] == 2 * PER_EPOCH and last["step"] == 4 * PER_EPOCH
    assert summary["test_loss"] == best["test"]["loss"] != last["test"]["loss"]


@pytest.mark.thorough
def test_selection_on_the_test_set_is_said(small_config, tmp_path):
    """All images are trained on, the test set is what is watched, and the terminal says so."""
    small_config.dataset.validation_fraction, small_config.selection = 0.0, "test"
    small_config.early_stopping.patience = 1
    summary, said = run(small_config, tmp_path / "run")
    assert "selection=test" in said and "the best epoch on these very images" in said
    assert "1,438 training, 0 validation, 359 test images" in said
    watched = [row["accuracy"] for row in rows(tmp_path / "run", "validation")]
    assert summary["selected"] == "best" and summary["test_accuracy"] == max(watched)
    best = summary["checkpoints"]["best"]
    assert best["validation"] == best["test"]


@pytest.mark.thorough
def test_averages_are_what_is_evaluated_and_saved(small_config, tmp_path):
    plain, _ = run(small_config, tmp_path / "plain")
    small_config.ema.decay = 0.95
    averaged, _ = run(small_config, tmp_path / "averaged")
    # The training itself is the same.
    assert averaged["params_sha256"] == plain["params_sha256"]
    assert averaged["test_loss"] != plain["test_loss"]
    best = averaged["checkpoints"]["best"]
    (logged,) = [
        row for row in rows(tmp_path / "averaged", "validation") if row["step"] == best["step"]
    ]
    assert logged["loss"] == best["validation"]["loss"]


def test_class_weights_must_fit_the_classes(small_config, tmp_path):
    small_config.loss.class_weights = (1.0, 2.0)
    with pytest.raises(ConfigError, match="class_weights has 2 values; digits has 10"):
        run(small_config, tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("half", lambda mean: [-1, 1]), ("zerocenter", lambda mean: [-255 * mean, 255 - 255 * mean])],
)
def test_normalization(small_config, name, expected):
    """Pixels from -1 to 1, whatever the data set's statistics are; or less its mean only."""
    small_config.dataset.normalization = name
    digits = data.load("digits")
    recipe = build(small_config, digits).recipe
    images = np.array([0, 255], np.uint8).reshape(1, 1, 2, 1) * np.ones(3, np.uint8)
    pixel = recipe.normalize(images)[0, 0, :, 0]
    np.testing.assert_allclose(pixel, expected(digits.mean[0]), rtol=1e-6)


@pytest.mark.thorough
def test_it_is_said_what_differs_and_once_how_long_it_will_take(
    small_config, tmp_path, monkeypatch
):
    monkeypatch.setattr(progress, "WORTH_SAYING", 0.0)
    monkeypatch.setattr(pace, "FEW_SECONDS", 0.0)
    small_config.total_epochs = 2
    _, said = run(config_lib.check(small_config), tmp_path / "run")
    assert said.count("in all, until") == 1
    (line,) = (each for each in said.splitlines() if each.startswith("not as by default"))
    assert "total_epochs=2" in line and "batch_size=64" in line and "seed" not in line


KINDS = {
    "nothing": ({}, ""),
    "smoothing": (
        {"loss.label_smoothing": 0.2},
        "the curves differ in kind: training has label smoothing 0.2; validation has plain cross entropy",
    ),
    "averages": ({"ema.decay": 0.9}, "the curves differ in kind: validation has averaged weights"),
    "all": (
        {
            "loss.name": "focal",
            "augment.mixup_alpha": 0.2,
            "augment.image_sizes": (16, 32),
            "evaluation.flip": True,
            "ema.decay": 0.9,
        },
        "the curves differ in kind: training has the loss focal, mixed images and images that grow; validation has "
        "averaged weights, several views of an image and plain cross entropy",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_curves_that_differ_in_kind_are_said(kind):
    changed, said = KINDS[kind]
    config = config_lib.default()
    config.update_from_flattened_dict(changed)
    assert kinds.remark(config) == said
    assert kinds.remark({"loss": config.to_dict()["loss"]}) == kinds.remark(config) or kind in (
        "averages",
        "all",
    )


@pytest.mark.thorough
def test_a_training_says_which_curves_differ(small_config, tmp_path):
    small_config.update({"total_epochs": 1, "ema": {"decay": 0.9}})
    assert "validation has averaged weights" in run(small_config, tmp_path / "run")[1]
