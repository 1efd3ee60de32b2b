"""Command lines as processes of their own."""

import os
import pathlib
import runpy
import socket
import subprocess
import sys
from unittest import mock

import forked

ROOT = pathlib.Path(__file__).parent.parent

# Two epochs of the quickstart, without TensorFlow.
QUICK = (
    "--config.total_epochs=2",
    "--config.log_every_steps=10",
    "--config.batch_size=64",
    "--config.tensorboard=false",
)

# configs/quickstart.py with a net that compiles in a second; only the main job knows that net.
SMALL = "tests/small_quickstart.py"

# The very run of the fixture `workdir`.
MIRRORED = (*QUICK, "--config.evaluation.flip=true")


def command(workdir, *overrides, config="configs/quickstart.py"):
    """The main job as a user types it."""
    start = (sys.executable, "-m", "cifar_jax.main", "--config", config, "--workdir", str(workdir))
    return [*start, *overrides]


def new_config(overrides=QUICK):
    """The config of such a command line, checked, for runs inside the test process."""
    from cifar_jax import main

    arguments = ("--config", str(ROOT / "configs/quickstart.py"), "--workdir", "unused")
    return main.parse(["main", *arguments, *overrides])[0]


def run_main(workdir, *overrides, config="configs/quickstart.py", **environment):
    """Runs the main job in a process of its own; returns a CompletedProcess with text output."""
    return _run(command(workdir, *overrides, config=config), env=os.environ | environment)


def run_module(name, *arguments, cwd=ROOT):
    """Runs `python -m cifar_jax.NAME ARGUMENTS`; returns a CompletedProcess with text output."""
    return _run([sys.executable, "-m", f"cifar_jax.{name}", *map(str, arguments)], cwd=cwd)


def run_here(name, *arguments):
    """The exit code of `python -m cifar_jax.NAME ARGUMENTS`, run in this process."""
    module = f"cifar_jax.{name}"
    imported = sys.modules.pop(module, None)
    # What a command sets is for its own process.
    with mock.patch.object(sys, "argv", [name, *map(str, arguments)]), mock.patch.dict(os.environ):
        try:
            runpy.run_module(module, run_name="__main__")
        except SystemExit as ended:
            return ended.code
        finally:
            if imported:
                sys.modules[module] = imported


def free_port():
    """A port of this machine that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("", 0))
        return taken.getsockname()[1]


def _run(arguments, cwd=ROOT, env=None):
    env = os.environ if env is None else env
    if forked.possible(env):
        return forked.run(arguments, cwd, env)
    return subprocess.run(arguments, cwd=cwd, env=env, capture_output=True, text=True, timeout=300)
