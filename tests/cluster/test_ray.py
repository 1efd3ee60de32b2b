"""Trainings and sweeps by workers of a Ray cluster on this machine, some of them killed."""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np
import pytest
from command_line import ROOT, SMALL, free_port
from processes import QUICK_XLA, devices

from cifar_jax import trained

pytest.importorskip("ray")
pytestmark = pytest.mark.thorough

EPOCHS = 6
SWEEP = ("--config", "tests/small_sweep.py", "--runs", "2", f"--config.total_epochs={EPOCHS}")
TRAINING = (
    *("--config", SMALL, f"--config.total_epochs={EPOCHS}", "--config.batch_size=64"),
    *("--config.tensorboard=false", "--config.optimizer.name=sgd"),
    "--config.optimizer.learning_rate=0.1",
)


@pytest.fixture(scope="module")
def cluster():
    """The environment of a process that finds a cluster with room for two workers."""
    environment = os.environ | {"XLA_FLAGS": QUICK_XLA, "RAY_raylet_start_wait_time_s": "200"}
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        command = ["ray", "start", "--head", "--block", f"--port={port}", f"--temp-dir={folder}"]
        command += ["--num-cpus=2", "--include-dashboard=false", "--disable-usage-stats"]
        command[0] = str(pathlib.Path(sys.executable).with_name("ray"))
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as head:
            assert any("Ray runtime started" in line for line in head.stdout)
            yield environment | {"RAY_ADDRESS": f"127.0.0.1:{port}"}
            head.terminate()


def start(module, workdir, *arguments, env):
    command = [sys.executable, "-m", f"cifar_jax.{module}", "--workdir", str(workdir), *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, env=env, **pipes)


def finish(process):
    """Its exit code, output and errors."""
    return process.wait(400), *process.communicate(timeout=400)


def wait_for(path, process):
    limit = time.monotonic() + 300
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit, f"no {path}"
        time.sleep(0.01)


def kill(name):
    """Kills the worker that makes the call of that name."""
    titles = {path: path.read_bytes() for path in pathlib.Path("/proc").glob("[0-9]*/cmdline")}
    (worker,) = (
        path for path, title in titles.items() if title.startswith(f"ray::{name}".encode())
    )
    os.kill(int(worker.parent.name), signal.SIGKILL)


def tables(workdir):
    """runs.csv without its seconds, and results.csv."""
    runs, epochs = (
        (workdir / name).read_text().splitlines() for name in ("runs.csv", "results.csv")
    )
    seconds = runs[0].split(",").index("seconds")
    return [row.split(",")[:seconds] + row.split(",")[seconds + 1 :] for row in runs], epochs


def test_a_sweep_with_a_killed_worker_is_the_sweep_of_one_machine(cluster, tmp_path, small_nets):
    there = tmp_path / "ray"
    process = start("sweep", there, *SWEEP, "--ray_workers=2", "--groups=3", env=cluster)
    wait_for(there / "checkpoints/1/40", process)
    kill("group 2/3")
    code, output, errors = finish(process)
    assert code == 0, (output, errors)
    assert "group 2/3: its worker is lost" in output and "it is started again" in output
    assert "resuming at step" in output
    code, output, errors = finish(start("sweep", tmp_path / "one", *SWEEP, env=cluster))
    assert code == 0 and "6 runs in 1 groups" in output, errors
    assert tables(there) == tables(tmp_path / "one")
    names = [path.name for path in sorted((there / "runs").iterdir())]
    assert len(names) == 6
    for name in names:
        for which in ("best", "last"):
            ours, its = (
                trained.open_run(x / "runs" / name, which) for x in (there, tmp_path / "one")
            )
            jax.tree.map(np.testing.assert_array_equal, ours.variables, its.variables)


def test_a_run_with_a_killed_worker_is_the_run_of_one_process(cluster, tmp_path, small_nets):
    process = start("main", tmp_path / "ray", *TRAINING, "--ray_workers=2", env=cluster)
    wait_for(tmp_path / "ray/checkpoints/40", process)
    kill("process 1")
    code, output, errors = finish(process)
    assert code == 0, (output, errors)
    assert "process 1 of 2: its worker is lost" in output and "resuming" in output
    two = start("main", tmp_path / "one", *TRAINING, env=cluster | devices(2))
    assert finish(two)[0] == 0
    ours, its = (trained.open_run(tmp_path / name, "last") for name in ("ray", "one"))
    jax.tree.map(np.testing.assert_array_equal, ours.variables, its.variables)
