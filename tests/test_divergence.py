"""A loss that becomes NaN or infinite ends the run, and is said."""

import io

import pytest
from command_line import QUICK, run_main
from rich.console import Console

from cifar_jax import train
from cifar_jax.errors import TrainingDiverged
from cifar_jax.train import schedules


@pytest.mark.thorough
def test_the_command_line_stops_with_the_step_and_advice(tmp_path):
    done = run_main(tmp_path / "run", *QUICK, "--config.optimizer.learning_rate=1e30")
    assert done.returncode == 3 and "Traceback" not in done.stderr
    assert "NaN or infinite at step 1;" in done.stderr and "learning_rate" in done.stderr
    assert "no checkpoint was written" in done.stderr
    assert not (tmp_path / "run" / "summary.json").exists()


@pytest.mark.thorough
def test_nan_made_by_the_last_update_is_seen(small_config, tmp_path):
    """Its loss was computed before: one batch an epoch, one epoch."""
    small_config.update({"total_epochs": 1, "batch_size": 1295})
    small_config.schedule.name = "constant"
    small_config.optimizer.learning_rate = 1e30
    with pytest.raises(TrainingDiverged) as caught:
        train.train_and_evaluate(small_config, tmp_path / "run", Console(file=io.StringIO()))
    assert caught.value.exit_code == 3 and not (tmp_path / "run" / "summary.json").exists()
    said = str(caught.value)
    assert "no checkpoint was written" in said and "learning_rate" in said
    assert "became NaN or infinite at step 1; the learning rate was 1e+30" in said


@pytest.mark.thorough
def test_nan_names_the_last_good_checkpoint(small_config, tmp_path, monkeypatch):
    """The rate explodes in the second epoch, when the first one's checkpoint is on disk."""
    config = small_config
    per_epoch = 1295 // config.batch_size

    def explode(*_):
        import jax.numpy as jnp

        return lambda step: jnp.where(step >= per_epoch + 3, 1e33, 5.0)

    monkeypatch.setattr(schedules, "make_schedule", explode)
    with pytest.raises(TrainingDiverged) as caught:
        train.train_and_evaluate(config, tmp_path / "run", Console(file=io.StringIO()))
    assert caught.value.exit_code == 3
    assert f"/checkpoints/{per_epoch}. Try" in str(caught.value)
    assert (tmp_path / "run" / "checkpoints" / str(per_epoch)).is_dir()
