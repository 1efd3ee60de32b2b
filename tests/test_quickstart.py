"""The quickstart as a user runs it: the real command line on the embedded digits."""

import json
import os
import re
import shutil

import numpy as np
import pytest
from command_line import QUICK, run_main
from metrics_file import rows

from cifar_jax.runs import restoring

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def quickstart(made_once):
    """(workdir, what the command printed).

    CIFAR_JAX_QUICKSTART names a folder of both, run/ and printed, where the command was run before, as by .ci/run.
    """

    def make(folder):
        if given := os.environ.get("CIFAR_JAX_QUICKSTART"):
            shutil.copytree(given, folder)
            return
        done = run_main(folder / "run", XLA_FLAGS="")  # as a user's XLA compiles
        assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
        (folder / "printed").write_text(done.stdout)

    folder = made_once("quickstart", make)
    printed = (folder / "printed").read_text()
    assert "Traceback" not in printed
    return folder / "run", printed


def test_quickstart_reaches_97_percent_and_says_so(quickstart):
    workdir, printed = quickstart
    summary = json.loads((workdir / "summary.json").read_text())
    assert summary["test_accuracy"] >= 0.97
    assert f"{100 * summary['test_accuracy']:.2f} %" in printed
    for digit in range(10):  # per-class figures
        assert re.search(rf"^{digit} +\d+\.\d\d %", printed, re.MULTILINE)
    assert "tensorboard --logdir" in printed


def test_summary_holds_what_it_promises(quickstart):
    workdir, _ = quickstart
    summary = json.loads((workdir / "summary.json").read_text())
    assert summary["dataset"] == "digits" and summary["params"] == 62_006
    assert summary["epochs"] == 60 and summary["steps"] == 60 * (1295 // 32)
    assert summary["config"]["optimizer"]["name"] == "adam"
    assert 0 < summary["validation_accuracy"] <= 1
    assert summary["train_seconds"] > 0 and summary["images_per_second"] > 0
    assert re.fullmatch("[0-9a-f]{64}", summary["params_sha256"])
    assert summary["test_images"] == 359
    per_class = summary["per_class_test_accuracy"]
    assert len(per_class) == 10 and np.mean(per_class) == pytest.approx(
        summary["test_accuracy"], abs=0.01
    )


def test_quickstart_writes_metrics_and_events(quickstart):
    from tensorboard.backend.event_processing import event_accumulator

    workdir, _ = quickstart
    splits = [row["split"] for row in rows(workdir)]
    assert splits.count("validation") == 60 and splits.count("test") == 2
    events = event_accumulator.EventAccumulator(
        str(workdir / "tensorboard"), size_guidance={"tensors": 0}
    ).Reload()
    tags = set(events.Tags()["tensors"])
    assert {"train/loss", "validation/accuracy", "augmented", "parameters"} <= tags
    assert len(events.Tensors("validation/accuracy")) == 60


def test_a_checkpoint_tells_where_it_is_from(quickstart):
    workdir, _ = quickstart
    summary = json.loads((workdir / "summary.json").read_text())
    steps = {result["step"] for result in summary["checkpoints"].values()}
    assert {int(path.name) for path in (workdir / "checkpoints").iterdir()} == steps
    for step in steps:
        about = json.loads((workdir / "checkpoints" / str(step) / "about" / "metadata").read_text())
        assert about.pop("sha256") and about.pop("format") == restoring.FORMAT
        facts = about.pop("dataset")  # what the model needs once the data is gone
        assert facts["class_names"] == list("0123456789") and facts["name"] == "digits"
        assert about == json.loads((workdir / "config.json").read_text())
        assert about["dataset_fingerprint"] == summary["dataset_fingerprint"]


def test_same_command_again_only_evaluates(quickstart, tmp_path):
    workdir = shutil.copytree(quickstart[0], tmp_path / "run")
    before = json.loads((workdir / "summary.json").read_text())
    done = run_main(workdir)
    after = json.loads((workdir / "summary.json").read_text())
    assert done.returncode == 0 and "resuming" in done.stdout
    assert after["params_sha256"] == before["params_sha256"]
    assert after["test_accuracy"] == before["test_accuracy"]
    assert after["train_seconds"] == before["train_seconds"]
    assert [row["split"] for row in rows(workdir)].count("test") == 2


@pytest.fixture(scope="module")
def starts(made_once):
    """Of two short runs, of seeds 0 and 1: (parameters, compiled programs that there are after it)."""

    def make(folder):
        starts = []
        options = (*QUICK, f"--config.compilation_cache={folder / 'cache'}")
        for seed in (0, 1):
            workdir = folder / str(seed)
            assert run_main(workdir, *options, f"--config.seed={seed}").returncode == 0
            cached = (path.name for path in (folder / "cache").iterdir())
            programs = sorted(name for name in cached if not name.endswith("-atime"))
            starts.append((parameters(workdir), programs))
        (folder / "starts.json").write_text(json.dumps(starts))

    return json.loads((made_once("starts", make) / "starts.json").read_text())


def parameters(workdir):
    return json.loads((workdir / "summary.json").read_text())["params_sha256"]


def test_a_second_start_compiles_nothing(starts):
    """Every program of a second run, of another seed, comes from the persistent cache."""
    (_, first), (_, second) = starts
    # Once for training; the evaluation once for each size of split. Not again after the first step.
    programs = [name.split("-")[0] for name in first]
    assert programs.count("jit_train_steps") == 1 and programs.count("jit_evaluate") == 2
    assert second == first


def test_same_seed_same_parameters_other_seed_other(starts, tmp_path):
    (zero, _), (one, _) = starts
    assert run_main(tmp_path / "again", *QUICK, "--config.seed=0").returncode == 0
    assert parameters(tmp_path / "again") == zero != one
