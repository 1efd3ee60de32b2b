"""A whole sweep on the embedded digits: its files, its runs beside the same ones alone, resuming."""

import contextlib
import csv
import io
import json
import os
import shutil
import signal
import sys
import threading
import time

import forked
import jax
import numpy as np
import pytest
from command_line import ROOT
from damages import arrays_of, flip_bit
from processes import devices
from rich.console import Console

from cifar_jax import train, trained
from cifar_jax.analysis import result
from cifar_jax.errors import ConfigError, UserError
from cifar_jax.machine import runtime
from cifar_jax.runs import checkpoints, reader, workdir, writers
from cifar_jax.sweep import Sweep, __main__, cells, driver, grid, loop, opening, shares

RATES = (0.01, 0.03)


@pytest.fixture
def sweep(small_config):
    """Two rates; one epoch is 20 steps of 64 images."""
    small_config.optimizer.name, small_config.optimizer.momentum = "sgd", 0.9
    return Sweep(small_config, grid({"optimizer.learning_rate": list(RATES)}), baseline="lr_0.01")


def run(sweep, folder, count=2, **options):
    """Trains within this process; returns the rows and what the user saw."""
    text = io.StringIO()
    console = Console(file=text, width=200, highlight=False)
    return driver.train_sweep(sweep, count, folder, console=console, **options), text.getvalue()


def table(folder, name):
    with (folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


def outcome(folder):
    """All that a sweep leaves behind but its timings."""
    runs = [{k: v for k, v in row.items() if k != "seconds"} for row in table(folder, "runs.csv")]
    return table(folder, "results.csv"), runs, (folder / "summary.md").read_text()


@pytest.mark.thorough
def test_a_sweep_writes_what_it_promises_and_each_run_is_that_run_alone(sweep, tmp_path):
    rows, said = run(sweep, tmp_path / "sweep")
    epochs, runs, summary = outcome(tmp_path / "sweep")
    assert [(row["cell"], row["seed"]) for row in runs] == [
        (f"lr_{rate}", seed) for rate in RATES for seed in "01"
    ]
    assert {row["status"] for row in runs} == {"finished"}
    assert len(epochs) == 2 * 4 and [row["epoch"] for row in epochs] == ["1"] * 4 + ["2"] * 4
    assert [row["status"] for row in epochs[3:5]] == ["running", "finished"]
    for cell in sweep.cells:
        assert f"| {cell}" in summary and cell in said
    assert "## Against lr_0.01" in summary and summary in said
    for name in ("test_accuracy", "validation_accuracy", "train_loss"):
        assert (tmp_path / f"sweep/{name}.png").read_bytes().startswith(b"\x89PNG")
        assert b"<svg" in (tmp_path / f"sweep/{name}.svg").read_bytes()

    config = cells.runs(sweep, 2)[3].config
    alone = train.train_and_evaluate(config, tmp_path / "alone", Console(file=io.StringIO()))
    swept, best = rows[3], alone["checkpoints"]["best"]
    assert_its_folder_is_the_run_alone(
        tmp_path / "sweep" / swept["folder"], tmp_path / "alone", swept
    )
    best_run = (
        tmp_path / "sweep" / max(rows, key=lambda row: row["selected_test_accuracy"])["folder"]
    )
    assert f"python -m cifar_jax.evaluate --workdir {best_run}" in said
    # On one device the runs take turns, and the numbers are the very same.
    assert swept["selected_test_accuracy"] == alone["test_accuracy"]
    assert swept["selected_test_loss"] == alone["test_loss"]
    assert swept["last_test_accuracy"] == alone["checkpoints"]["last"]["test"]["accuracy"]
    assert swept["best_epoch"] == best["step"] // 20 and swept["steps"] == alone["steps"] == 40
    lines = map(json.loads, (tmp_path / "alone/metrics.jsonl").read_text().splitlines())
    logged = [row for row in lines if row["split"] in ("train_epoch", "validation")]
    for epoch in (1, 2):
        ours = epochs[4 * epoch - 1]
        for row in logged:
            if row["epoch"] == epoch:
                split = "train" if row["split"] == "train_epoch" else "validation"
                for name in ("loss", "accuracy"):
                    assert float(ours[f"{split}_{name}"]) == pytest.approx(row[name], rel=1e-6)


def assert_its_folder_is_the_run_alone(folder, alone, row):
    """Variables, evaluation and summary are equal; its rows are those of the run, as far as a sweep has them."""
    assert folder.name == "lr_0.03-1"
    for which in ("best", "last"):
        ours, theirs = (trained.open_run(each, which) for each in (folder, alone))
        jax.tree.map(np.testing.assert_array_equal, ours.variables, theirs.variables)
        assert ours.step == theirs.step and ours.inference == theirs.inference
        data = trained.split(ours, "test")
        evaluation, _ = result.evaluate(ours, "test", data, with_speed=False)
        assert evaluation["accuracy"] == row[f"{which}_test_accuracy"]
    ours, theirs = (json.loads((each / "summary.json").read_text()) for each in (folder, alone))
    for which in ("best", "last"):
        of_it, of_the_run = (
            each["checkpoints"][which].pop("validation") for each in (ours, theirs)
        )
        assert of_it["accuracy"] == of_the_run["accuracy"]
    del ours["train_seconds"]
    assert ours == {name: theirs[name] for name in ours} and ours["params_sha256"]
    ours, theirs = (writers.read_rows(each / "metrics.jsonl") for each in (folder, alone))
    for split in ("train_epoch", "validation", "test"):
        of_it, of_the_run = ([r for r in rows if r["split"] == split] for rows in (ours, theirs))
        assert of_it
        for mine, its in zip(of_it, of_the_run, strict=True):
            for name, value in mine.items():
                rounded = split == "train_epoch" and name in ("loss", "accuracy")  # of float32 sums
                assert value == (pytest.approx(its[name], rel=1e-6) if rounded else its[name])
    theirs, ours = (json.loads((each / "config.json").read_text()) for each in (alone, folder))
    assert theirs == {name: ours[name] for name in theirs}


def last_checkpoint(folder):
    with contextlib.closing(checkpoints.open_manager(folder / "checkpoints/0")) as manager:
        restored = manager.restore(manager.latest_step())
    return jax.tree.map(np.asarray, restored.state)


@pytest.mark.thorough
@pytest.mark.parametrize("turns", [True, False], ids=["turns", "together"])
def test_interrupted_and_resumed_is_uninterrupted(sweep, tmp_path, monkeypatch, no_figures, turns):
    """Stopped within the first epoch and within the second one, with early stopping of some runs."""
    sweep.base.early_stopping.update(patience=1, monitor="validation_accuracy", min_delta=0.6)
    run(sweep, tmp_path / "whole", turns=turns)
    caught, interval, intervals = [], loop.GroupTraining.interval, []

    def signalled(*arguments):
        intervals.append(1)
        if len(intervals) in (1, 3):
            caught.append(15)
        return interval(*arguments)

    monkeypatch.setattr(driver.runtime, "catch_signals", lambda: contextlib.nullcontext(caught))
    monkeypatch.setattr(loop.GroupTraining, "interval", signalled)
    for step in (10, 30):
        with pytest.raises(runtime.Interrupted, match=f"at step {step}") as error:
            run(sweep, tmp_path / "parts", turns=turns)
        assert error.value.exit_code == 143
        caught.clear()
    _, said = run(sweep, tmp_path / "parts", turns=turns)
    assert "resuming at step 30" in said
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")
    parts, whole = (last_checkpoint(tmp_path / name) for name in ("parts", "whole"))
    jax.tree.map(np.testing.assert_array_equal, parts, whole)
    # A finished sweep is only evaluated again; one of an earlier version gets folders for its runs.
    folders = {
        path: path.read_bytes() for path in sorted((tmp_path / "parts/runs").rglob("*.json*"))
    }
    assert len(folders) == 3 * 4
    shutil.rmtree(tmp_path / "parts/runs")
    run(sweep, tmp_path / "parts", turns=turns)
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole") and len(intervals) == 4
    assert {path: path.read_bytes() for path in folders} == folders
    for name in ("lr_0.01-0", "lr_0.03-1"):
        parts, whole = (
            trained.open_run(tmp_path / each / "runs" / name) for each in ("parts", "whole")
        )
        jax.tree.map(np.testing.assert_array_equal, parts.variables, whole.variables)
        (row,) = (
            row for row in table(tmp_path / "parts", "runs.csv") if row["folder"] == f"runs/{name}"
        )
        assert parts.step == 20 * int(row["best_epoch"])


@pytest.mark.thorough
def test_runs_that_diverge_or_stop_early_leave_the_others_alone(sweep, tmp_path, no_figures):
    """And a sweep of two structures has two groups; without a validation set there is no best."""
    sweep.base.update(selection="last")
    sweep.base.dataset.validation_fraction = 0.0
    sweep.cells.clear()
    sweep.cells.update(
        {"lr_0.01": {"optimizer.learning_rate": 0.01}, "wild": {"optimizer.learning_rate": 1e30}}
    )
    sweep.cells["adam"] = {"optimizer.name": "adam", "optimizer.momentum": 0.0}
    rows, said = run(sweep, tmp_path, count=1)
    assert "2 groups: 2, 1 runs" in said
    assert [row["status"] for row in rows] == ["finished", "diverged", "finished"]
    fine, wild, adam = rows
    assert 1 <= wild["diverged_at_step"] < 10 and wild["epochs"] == 0
    assert wild["selected_test_accuracy"] is None and fine["selected_test_accuracy"] is not None
    assert fine["best_epoch"] is None and fine["selected"] == "last"
    wild_rows = [row for row in table(tmp_path, "results.csv") if row["cell"] == "wild"]
    assert [row["status"] for row in wild_rows] == ["diverged"] and wild_rows[0]["train_loss"] == ""
    summary = (tmp_path / "summary.md").read_text()
    assert [row["folder"] for row in table(tmp_path, "runs.csv")] == [
        "runs/lr_0.01-0",
        "",
        "runs/adam-0",
    ]
    with pytest.raises(UserError, match=f"diverged at step {wild['diverged_at_step']}: it has no"):
        trained.open_run(tmp_path / "runs/wild-0")
    for each in (fine, adam):
        own = trained.open_run(tmp_path / each["folder"])
        assert own.checkpoint == "last" and own.step == each["steps"]
        data = trained.split(own, "test")
        accuracy = result.evaluate(own, "test", data, with_speed=False)[0]["accuracy"]
        assert accuracy == each["selected_test_accuracy"]
        best, *rest = reader.read_run(tmp_path / each["folder"], "best")
        assert rest[1] == own.step
        jax.tree.map(np.testing.assert_array_equal, best, own.variables)
    assert "| wild | - | - | - | 0 | 1 |" in summary and "none: one run" in summary
    assert "No comparison" in summary


def test_another_sweep_in_the_same_folder_is_refused_by_name(sweep, tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "train_group", lambda *_: [])
    monkeypatch.setattr(driver.summary, "markdown", lambda *_: "")
    run(sweep, tmp_path)
    changed = Sweep(sweep.base.copy_and_resolve_references(), dict(sweep.cells), sweep.baseline)
    changed.base.batch_size = 32
    with pytest.raises(ConfigError, match=r"lr_0.01: batch_size: 64 there, 32 now"):
        run(changed, tmp_path)
    with pytest.raises(ConfigError, match="--runs: 2 there, 3 now"):
        run(sweep, tmp_path, count=3)
    more = Sweep(sweep.base, sweep.cells | {"other": {}}, sweep.baseline)
    with pytest.raises(ConfigError, match="cell other: 'missing' there, 'given' now"):
        run(more, tmp_path)
    sweep.base.log_every_steps = 7  # of no effect on the result
    run(sweep, tmp_path)


def test_little_memory_splits_the_group_and_says_so(sweep, tmp_path, monkeypatch):
    """The split stays that of the first start, whatever memory a later one has; the checkpoints get that, too."""
    plans = []
    monkeypatch.setattr(
        driver, "train_group", lambda job, *_: plans.append(job.about["groups"]) or []
    )
    monkeypatch.setattr(driver.summary, "markdown", lambda *_: "")
    _, said = run(sweep, tmp_path, memory_gb=0.001)
    assert "4 runs of small_net are split into 4 groups" in said
    assert "4 groups: 1, 1, 1, 1 runs" in said
    _, said = run(sweep, tmp_path)
    assert "4 groups: 1, 1, 1, 1 runs" in said
    assert plans == [[[f"lr_{rate}/{seed}"] for rate in RATES for seed in (0, 1)]] * 8


@pytest.mark.thorough
def test_groups_that_several_train_and_one_joins_are_the_sweep_of_one(
    sweep, tmp_path, monkeypatch, no_figures
):
    """In any order, and one of them twice, as after a worker that was lost when all was done."""
    sweep.base.total_epochs = 1
    run(sweep, tmp_path / "one", count=1)
    given, console = (sweep, 1, tmp_path / "many", None), Console(file=io.StringIO())
    options = {"console": console}
    assert shares.plan(*given, **options, least_groups=2) == [["lr_0.01/0"], ["lr_0.03/0"]]
    first, second, again = (shares.train_group(i, *given, **options) for i in (0, 1, 0))
    assert again == first and not (tmp_path / "many/runs.csv").exists()
    with pytest.raises(ConfigError, match="--group=2: the sweep has 2 groups, 0 to 1"):
        shares.train_group(2, *given, **options)
    monkeypatch.setattr(driver, "train_group", lambda *_: pytest.fail("trained again"))
    shares.write_tables(second + first, *given, **options)
    assert outcome(tmp_path / "many") == outcome(tmp_path / "one")
    for which in ("best", "last"):
        theirs, its = (
            trained.open_run(tmp_path / each / "runs/lr_0.03-0", which) for each in ("many", "one")
        )
        jax.tree.map(np.testing.assert_array_equal, theirs.variables, its.variables)


def test_who_comes_to_a_group_that_another_trains_waits_for_him(tmp_path):
    said, held, order = [], threading.Event(), []

    def other():
        with opening.locked(tmp_path, "group_0", print):
            held.set()
            while not said:
                time.sleep(0.01)
            order.append("other")

    thread = threading.Thread(target=other)
    thread.start()
    held.wait()
    with opening.locked(tmp_path, "group_0", said.append):
        order.append("we")
    thread.join()
    assert order == ["other", "we"]
    assert said == [f"another process has the group_0 of {tmp_path}; waiting for it to end"]


def test_a_signal_ends_the_wait_for_a_group(tmp_path):
    with (
        opening.locked(tmp_path, "group_0", print),
        pytest.raises(runtime.Interrupted, match="while another process has the group_0") as raised,
        opening.locked(tmp_path, "group_0", print, [15]),
    ):
        pass
    assert raised.value.exit_code == 143


def sweep_command(workdir, *arguments):
    start = (sys.executable, "-m", "cifar_jax.sweep", "--config", "tests/small_sweep.py")
    return [*start, "--workdir", str(workdir), *arguments]


@pytest.mark.thorough
def test_several_devices_share_out_the_runs(tmp_path, small_nets, no_figures):
    """Three runs and one of padding on two devices; Ctrl-C; the rest on one device."""
    # Without momentum, as what two programs round otherwise grows less.
    arguments = ("--config.total_epochs=2", "--config.log_every_steps=10")
    arguments += ("--config.optimizer.momentum=0",)
    process = forked.Process(
        sweep_command(tmp_path / "two", *arguments), ROOT, os.environ | devices(2)
    )
    limit = time.monotonic() + 200
    metrics = tmp_path / "two/metrics/0.jsonl"
    while not (metrics.exists() and metrics.read_text()) and process.poll() is None:
        assert time.monotonic() < limit, "no epoch was done"
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 130 and "saved" in errors and "Traceback" not in errors, errors
    given = __main__.parse(["sweep", *sweep_command(tmp_path / "one")[3:], *arguments])
    run(given[0], tmp_path / "two", count=1)
    run(given[0], tmp_path / "one", count=1)
    two, one = (table(tmp_path / name, "results.csv") for name in ("two", "one"))
    assert len(two) == len(one) == 6
    for ours, theirs in zip(two, one, strict=True):
        assert (ours["cell"], ours["epoch"]) == (theirs["cell"], theirs["epoch"])
        assert float(ours["train_loss"]) == pytest.approx(float(theirs["train_loss"]), rel=1e-3)


@pytest.mark.thorough
def test_a_damaged_checkpoint_of_a_sweep_is_kept_and_it_ends_the_same(sweep, no_figures, tmp_path):
    """Only the last one of a group is kept: it is trained anew. Meanwhile the workdir is its own."""
    sweep.base.total_epochs = 1
    run(sweep, tmp_path, count=1)
    expected = outcome(tmp_path)
    flip_bit(arrays_of(tmp_path / "checkpoints/0", 20))
    with workdir.claimed(tmp_path), pytest.raises(UserError, match="in use by another training"):
        run(sweep, tmp_path, count=1)
    _, said = run(sweep, tmp_path, count=1)
    assert f"{tmp_path}/checkpoints/0/20 is damaged (" in said.replace("\n", "")
    assert (tmp_path / "checkpoints/0/20.damaged").is_dir()
    assert outcome(tmp_path) == expected
