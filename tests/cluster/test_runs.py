"""Several processes of the real command line, over loopback and gloo, train as one.

How sums over a batch are rounded depends on how they are split. Halves give the same bits whether they are those of two
processes or of two devices of one.
"""

import os
import signal
import subprocess
import sys
import time

import forked
import jax
import numpy as np
import pytest
from command_line import ROOT, SMALL, command, free_port, run_main
from documents import code_blocks
from metrics_file import rows
from processes import QUICK_XLA, devices, finish

from cifar_jax.errors import LostProcess
from cifar_jax.runs import reader

# SGD, as Adam makes steps of full length out of roundings where a gradient is nearly zero.
OPTIONS = (
    "--config.total_epochs=3",
    "--config.log_every_steps=5",
    "--config.batch_size=64",
    "--config.tensorboard=false",
    "--config.optimizer.name=sgd",
    "--config.optimizer.learning_rate=0.1",
)


# What srun does, on one machine: the tasks beside each other, each told its place.
SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do shift; done
for ((i = 0; i < SLURM_NTASKS; i++)); do
  SLURM_STEP_NODELIST=localhost SLURM_PROCID=$i SLURM_LOCALID=$i "$@" > $SAID/stdout.$i 2> $SAID/stderr.$i &
  tasks+=($!)
done
for task in ${tasks[@]}; do wait $task || exit $?; done
"""


def by_flags(count, process, port):
    return (f"--coordinator=127.0.0.1:{port}", f"--processes={count}", f"--process={process}"), {}


def by_open_mpi(count, process, port):
    return (), {
        "OMPI_MCA_orte_hnp_uri": "4096.0;tcp://127.0.0.1:1",
        "OMPI_COMM_WORLD_SIZE": str(count),
        "OMPI_COMM_WORLD_RANK": str(process),
        "OMPI_COMM_WORLD_LOCAL_RANK": str(process),
        "JAX_COORDINATOR_PORT": str(port),
    }


def start(workdir, count, told=by_flags):
    """Starts the processes of a run; `told` says how they learn of one another."""
    port, processes = free_port(), []
    for process in range(count):
        arguments, environment = told(count, process, port)
        processes.append(
            forked.Process(
                command(workdir, *OPTIONS, *arguments, config=SMALL),
                ROOT,
                os.environ | {"XLA_FLAGS": QUICK_XLA} | environment,
            )
        )
    return processes


def run_with_two_devices(workdir):
    """One process, to its end; returns its output."""
    done = run_main(workdir, *OPTIONS, config=SMALL, XLA_FLAGS=QUICK_XLA, **devices(2))
    assert done.returncode == 0, done.stderr
    return done.stdout


def wait_for_rows(workdir, processes, count):
    """Returns once the metrics have so many lines more than now."""
    path, limit = workdir / "metrics.jsonl", time.monotonic() + 120

    def lines():
        return path.read_text().count("\n") if path.exists() else 0

    wanted = lines() + count
    while lines() < wanted:
        ended = [process for process in processes if process.poll() is not None]
        assert not ended, ended[0].communicate()
        assert time.monotonic() < limit, "training wrote no metrics"
        time.sleep(0.02)


def wait_for_a_checkpoint(workdir):
    """Returns once the first one is complete: it is written beside the steps of the next epoch."""
    limit = time.monotonic() + 60
    while not any(path.name.isdigit() for path in (workdir / "checkpoints").glob("*")):
        assert time.monotonic() < limit, "training wrote no checkpoint"
        time.sleep(0.02)


def outcome(workdir):
    """What a run leaves behind but its timings: metrics and the last parameters."""
    metrics = [
        {name: value for name, value in row.items() if name != "images_per_second"}
        for row in rows(workdir)
    ]
    variables, *_ = reader.read_run(workdir, "last")
    return metrics, variables["params"]


@pytest.fixture(scope="module")
def alone(made_once):
    """A run of one process with two devices."""
    folder = made_once("two_devices", lambda folder: run_with_two_devices(folder / "run"))
    return outcome(folder / "run")


def assert_same(ours, theirs):
    assert ours[0] == theirs[0]
    jax.tree.map(np.testing.assert_array_equal, ours[1], theirs[1])


@pytest.mark.thorough
def test_two_processes_of_the_slurm_script_are_bit_for_bit_one_with_two_devices(tmp_path, alone):
    script, bin_folder = tmp_path / "cifar.sbatch", tmp_path / "bin"
    script.write_text(next(block for block in code_blocks("bash") if "#SBATCH" in block))
    bin_folder.mkdir()
    (bin_folder / "srun").write_text(SRUN)
    (bin_folder / "srun").chmod(0o755)
    slurm = {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "2", "SAID": str(tmp_path)}
    done = subprocess.run(
        ["bash", script, *command(tmp_path / "run", *OPTIONS, config=SMALL)[3:]],
        cwd=ROOT,
        env=os.environ
        | slurm
        | {
            "PATH": os.pathsep.join(
                [str(bin_folder), os.path.dirname(sys.executable), os.environ["PATH"]]
            ),
            "XLA_FLAGS": QUICK_XLA,
            "JAX_COORDINATOR_PORT": str(free_port()),
        },
        timeout=240,
    )
    outputs, errors = (
        [(tmp_path / f"{name}.{process}").read_text() for process in range(2)]
        for name in ("stdout", "stderr")
    )
    assert done.returncode == 0, errors
    assert "2 devices of 2 processes" in outputs[0] and "Gloo" not in outputs[0]
    assert outputs[1] == "" and errors == ["", ""]
    assert_same(outcome(tmp_path / "run"), alone)


@pytest.mark.thorough
def test_four_processes_train_as_one(tmp_path, alone):
    """Four parts of a batch are added in another order than two.

    A mean of 64 float32 terms in another order is off by at most 64 * 2^-24 of their mean size; 60 steps at a rate
    of 0.1, with terms below 1, come to 2.3e-5. Measured: 3e-8 (n = 1).
    """
    codes, outputs, errors = finish(start(tmp_path / "run", 4))
    assert codes == [0] * 4, errors
    assert outputs[1:] == ("",) * 3 and "4 devices of 4 processes" in outputs[0]
    metrics, params = outcome(tmp_path / "run")
    assert [row["step"] for row in metrics] == [row["step"] for row in alone[0]]
    gaps = jax.tree.map(lambda a, b: np.abs(a - b).max(), params, alone[1])
    assert max(jax.tree.leaves(gaps)) < 2.3e-5


@pytest.mark.thorough
def test_killed_then_stopped_then_finished_by_another_number(tmp_path, alone):
    workdir = tmp_path / "run"
    processes = start(workdir, 2)
    wait_for_rows(workdir, processes, 7)  # into the second epoch
    wait_for_a_checkpoint(workdir)
    processes[1].kill()
    codes, _, errors = finish(processes, timeout=60)
    # Where a checkpoint was being written, JAX's own check may come first, or between our message and our end.
    lost, aborted = (
        "error: process 0 of 2 lost another one",
        "error: process 0 of 2 ended without a word",
    )
    said = [line for line in errors[0].splitlines() if line.startswith((lost, aborted))]
    assert codes[0] in (LostProcess.exit_code, -signal.SIGABRT) and said, errors[0]
    assert codes[0] != LostProcess.exit_code or errors[0].splitlines()[-1].startswith(lost)
    assert codes[1] == -signal.SIGKILL and "Traceback" not in errors[0]
    assert "process 1 of 2 ended without a word" in errors[1]

    processes = start(workdir, 2, by_open_mpi)
    wait_for_rows(workdir, processes, 1)
    processes[1].send_signal(signal.SIGTERM)  # the other one is not told
    codes, outputs, errors = finish(processes)
    assert codes == [128 + signal.SIGTERM] * 2, errors
    assert "resuming" in outputs[0] and "saved. The same command" in errors[0]
    assert errors[0].splitlines()[-1] == errors[1].splitlines()[-1]

    assert "resuming" in run_with_two_devices(workdir)
    assert_same(outcome(workdir), alone)
