"""Records a run's folder for tests/test_old_runs.py, by the versions of JAX and of this package that are installed:

  python tests/record_old_run.py

tests/old_runs/jax_VERSION/run is the folder of a training on the digits, of two epochs, that was stopped after the
first; recorded.json beside it says what its checkpoint evaluates to, and what it ended with that was not stopped.
"""

import io
import json
import os
import pathlib
import signal
import tempfile

import jax
from rich.console import Console

from cifar_jax import config, train, trained
from cifar_jax.analysis import scores
from cifar_jax.machine import runtime
from cifar_jax.train import loop

FOLDER = pathlib.Path(__file__).parent / "old_runs"


def small_config():
    """Batch statistics, augmentation and a validation set, in few bytes."""
    settings = config.default()
    settings.dataset.name = "digits"
    settings.model.name = "modified_net"
    settings.total_epochs, settings.batch_size = 2, 64
    settings.augment.crop_padding = 2
    settings.optimizer.name = "sgd"
    settings.optimizer.learning_rate = 0.1
    settings.tensorboard = False
    return config.check(settings)


def evaluated(folder):
    """Loss and accuracy of a run's last checkpoint on the test images."""
    run = trained.open_run(folder, "last")
    images, labels, _ = trained.split(run, "test")
    logits = trained.logits(run, images)
    accuracy = float((logits.argmax(1) == labels).mean())
    return {
        "step": run.step,
        "test_loss": scores.cross_entropy(labels, logits),
        "test_accuracy": accuracy,
    }


def train_to_the_end(folder):
    return train.train_and_evaluate(small_config(), folder, Console(file=io.StringIO()))


def train_one_epoch(folder):
    """SIGTERM comes while the first epoch is evaluated."""
    end_epoch = loop.RunTraining.end_epoch

    def interrupted(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return end_epoch(*arguments)

    loop.RunTraining.end_epoch = interrupted
    try:
        train_to_the_end(folder)
    except runtime.Interrupted:
        for path in folder.glob(".lock*"):
            path.unlink()
    finally:
        loop.RunTraining.end_epoch = end_epoch


def record(folder):
    folder.mkdir(parents=True)
    train_one_epoch(folder / "run")
    with tempfile.TemporaryDirectory() as elsewhere:
        summary = train_to_the_end(pathlib.Path(elsewhere) / "run")
    kept = ("steps", "test_loss", "test_accuracy", "test_images", "versions", "hardware")
    recorded = {
        "checkpoint": evaluated(folder / "run"),
        "summary": {name: summary[name] for name in kept},
    }
    (folder / "recorded.json").write_text(json.dumps(recorded, indent=1) + "\n")


if __name__ == "__main__":
    record(FOLDER / f"jax_{jax.__version__.replace('.', '_')}")
