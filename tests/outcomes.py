"""The main job as a process that is watched, and what it leaves behind."""

import contextlib
import json
import os
import subprocess
import time

import forked
import jax
import numpy as np
from command_line import ROOT, command

from cifar_jax import models
from cifar_jax.runs import checkpoints
from cifar_jax.train import optimizers, state
from cifar_jax.train.hyper import make_hyper

TIMED = {"images_per_second"}


def outcome(workdir):
    """All that a run leaves behind but its timings: metrics, parameters, optimizer state."""
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    rows = [
        {name: value for name, value in json.loads(line).items() if name not in TIMED}
        for line in lines
    ]
    template = state.create_state(
        models.create("basic_net"),
        optimizers.make_optimizer("adam"),
        make_hyper(0.1),
        0,
        (32, 32, 3),
    )
    with contextlib.closing(
        checkpoints.open_manager(workdir / "checkpoints", read_only=True)
    ) as manager:
        last, *_ = checkpoints.restore(manager, template, manager.latest_step())
    summary = json.loads((workdir / "summary.json").read_text())
    kept = ("test_accuracy", "validation_accuracy", "params_sha256", "steps", "checkpoints")
    return rows, jax.tree.map(np.asarray, last), {name: summary[name] for name in kept}


def assert_same(ours, theirs):
    """That two outcomes are equal bit for bit."""
    assert ours[0] == theirs[0]
    jax.tree.map(np.testing.assert_array_equal, ours[1], theirs[1])
    assert ours[2] == theirs[2]


def start(workdir, *overrides):
    """The main job on its way: a forked.Process."""
    return forked.Process(command(workdir, *overrides), ROOT, os.environ)


def start_anew(workdir, *overrides):
    """The same from Python's start on: a subprocess.Popen."""
    return subprocess.Popen(
        command(workdir, *overrides),
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
