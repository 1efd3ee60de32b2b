"""The runs of a sweep, shared out over two processes, are those of two devices of one."""

import csv
import os
import pathlib
import sys

import forked
import pytest
from command_line import ROOT, free_port
from processes import QUICK_XLA, devices, finish

SWEEP = (
    *("--config", str(ROOT / "tests/small_sweep.py"), "--runs", "1"),
    *("--config.total_epochs=2", "--config.early_stopping.patience=1"),
)


def start(workdir, *arguments, **environment):
    return forked.Process(
        [sys.executable, "-m", "cifar_jax.sweep", *SWEEP, "--workdir", str(workdir), *arguments],
        ROOT,
        os.environ | {"XLA_FLAGS": QUICK_XLA} | environment,
    )


def start_two(workdir):
    port = free_port()
    flags = (f"--coordinator=127.0.0.1:{port}", "--processes=2")
    return [start(workdir, *flags, f"--process={process}") for process in range(2)]


def start_one(workdir):
    """With two devices."""
    return [start(workdir, **devices(2))]


def tables(workdir):
    """The rows of both tables but for the seconds."""
    contents = []
    for name in ("results.csv", "runs.csv"):
        with (pathlib.Path(workdir) / name).open() as file:
            rows = list(csv.DictReader(file))
        contents.append([{k: v for k, v in row.items() if k != "seconds"} for row in rows])
    return contents


@pytest.mark.thorough
def test_two_processes_write_the_tables_of_two_devices(tmp_path):
    """Three runs on two devices, so one is there twice; begun by either, the sweep is read by the other."""
    codes, outputs, errors = finish(start_two(tmp_path / "two"))
    assert codes == [0, 0], errors
    assert outputs[1] == errors[1] == "" and "lr_0.03" in outputs[0]
    codes, _, errors = finish(start_one(tmp_path / "one"))
    assert codes == [0], errors
    assert tables(tmp_path / "two") == tables(tmp_path / "one")
    before = tables(tmp_path / "one")
    codes, outputs, errors = finish(start_two(tmp_path / "one"))
    assert codes == [0, 0], errors
    assert "resuming at step" in outputs[0] and tables(tmp_path / "one") == before
