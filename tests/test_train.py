"""Training from first to last, within this process."""

import contextlib
import io

import numpy as np
import pytest
from metrics_file import rows
from rich.console import Console

from cifar_jax import data, train
from cifar_jax.errors import ConfigError
from cifar_jax.machine import runtime
from cifar_jax.train import loop


def test_test_set_is_read_once_after_training(small_config, tmp_path, monkeypatch):
    read, split = [], data.Dataset.split

    def spy(self, name):
        done = (tmp_path / "run" / "metrics.jsonl").exists() and rows(tmp_path / "run")
        read.append((name, done[-1]["step"] if done else 0))
        return split(self, name)

    monkeypatch.setattr(data.Dataset, "split", spy)
    summary = train.train_and_evaluate(small_config, tmp_path / "run", Console(file=io.StringIO()))
    assert read == [("train", 0), ("test", summary["steps"])]


@pytest.mark.thorough
def test_a_terminal_gets_a_progress_bar(small_config, tmp_path):
    text = io.StringIO()
    train.train_and_evaluate(
        small_config, tmp_path / "run", Console(file=text, force_terminal=True, width=160)
    )
    assert "images/s" in text.getvalue() and "ETA" in text.getvalue() and "━" in text.getvalue()


def test_batch_that_does_not_fit_is_refused(small_config, tmp_path):
    small_config.batch_size = 5000
    with pytest.raises(ConfigError, match="more than the 1294 training images|1295"):
        train.train_and_evaluate(small_config, tmp_path / "run", Console(file=io.StringIO()))
    assert not (tmp_path / "run").exists()


def test_a_validation_set_without_images_is_refused(small_config, tmp_path):
    small_config.dataset.validation_fraction = 0.0001
    with pytest.raises(ConfigError, match="holds out no image"):
        train.train_and_evaluate(small_config, tmp_path / "run", Console(file=io.StringIO()))


@pytest.mark.thorough
def test_a_checkpoint_made_by_a_signal_is_no_candidate_for_the_best(
    small_config, tmp_path, monkeypatch
):
    """With a checkpoint only at the end, the best is the last: also when a signal came between."""
    small_config.total_epochs, small_config.checkpoint.every_epochs = 3, 50
    caught, end_epoch = [], loop.RunTraining.end_epoch

    def signalled(*arguments):
        caught.append(15)
        return end_epoch(*arguments)

    monkeypatch.setattr(loop.runtime, "catch_signals", lambda: contextlib.nullcontext(caught))
    monkeypatch.setattr(loop.RunTraining, "end_epoch", signalled)
    with pytest.raises(runtime.Interrupted):
        train.train_and_evaluate(small_config, tmp_path / "run", Console(file=io.StringIO()))
    monkeypatch.setattr(loop.RunTraining, "end_epoch", end_epoch)
    caught.clear()
    summary = train.train_and_evaluate(small_config, tmp_path / "run", Console(file=io.StringIO()))
    assert summary["checkpoints"]["best"]["step"] == summary["steps"]


@pytest.mark.thorough
def test_without_validation_the_last_is_the_result(small_config, tmp_path):
    small_config.dataset.validation_fraction, small_config.selection = 0.0, "last"
    summary = train.train_and_evaluate(small_config, tmp_path / "run", Console(file=io.StringIO()))
    assert summary["validation_accuracy"] is None and summary["selected"] == "last"
    assert list(summary["checkpoints"]) == ["last"]


@pytest.mark.thorough
def test_plateau_lowers_the_rate(small_config, tmp_path):
    small_config.total_epochs = 4
    small_config.schedule.update(
        name="plateau", patience=0, threshold=10.0, threshold_mode="abs", factor=0.5
    )
    train.train_and_evaluate(small_config, tmp_path / "run", Console(file=io.StringIO()))
    by_epoch = {row["epoch"]: row for row in rows(tmp_path / "run", "train")}
    # No improvement counts, so after the first epoch every epoch halves the rate.
    rates = [by_epoch[epoch]["learning_rate"] for epoch in (1, 2, 3, 4)]
    np.testing.assert_allclose(rates, 0.002 * np.array([1, 1, 0.5, 0.25]), rtol=1e-6)


def test_versions_name_what_decides_the_numbers():
    assert {"python", "cifar-jax", "jax", "jaxlib", "flax", "optax"} <= runtime.versions().keys()
