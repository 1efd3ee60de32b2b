"""The main job as a process of its own."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent

# Two epochs of the quickstart, without TensorFlow.
QUICK = (
    "--config.total_epochs=2",
    "--config.log_every_steps=10",
    "--config.batch_size=64",
    "--config.tensorboard=false",
)


def command(workdir, *overrides, config="configs/quickstart.py"):
    """The main job as a user types it."""
    start = (sys.executable, "-m", "cifar_jax.main", "--config", config, "--workdir", str(workdir))
    return [*start, *overrides]


def run_main(workdir, *overrides, config="configs/quickstart.py", timeout=300, **environment):
    """Runs the main job in a process of its own; returns a CompletedProcess with text output."""
    return subprocess.run(
        command(workdir, *overrides, config=config),
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
