"""The main job as a user runs it: the real command line on the embedded digits."""

import contextlib
import io
import json
import os
import re
import subprocess
import textwrap

import numpy as np
import pytest
from command_line import QUICK, ROOT, command, run_main
from rich.console import Console

from cifar_jax import config as config_lib
from cifar_jax import data, runtime, schedules, train
from cifar_jax.errors import ConfigError, UserError

TIMES = ("images_per_second", "train_seconds", "compile_seconds")


def rows(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("quickstart") / "run"
    done = run_main(workdir)
    return workdir, done


def test_quickstart_reaches_97_percent_and_says_so(quickstart):
    workdir, done = quickstart
    assert done.returncode == 0, done.stderr
    summary = json.loads((workdir / "summary.json").read_text())
    assert summary["test_accuracy"] >= 0.97
    assert f"{summary['test_accuracy']:.2%}" in done.stdout
    for digit in range(10):  # per-class figures
        assert re.search(rf"│ {digit} +│ +\d+\.\d\d%", done.stdout)
    assert "tensorboard --logdir" in done.stdout and "Traceback" not in done.stderr


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
        facts = about.pop("dataset")  # what the model needs once the data is gone
        assert facts["class_names"] == list("0123456789") and facts["name"] == "digits"
        assert about == json.loads((workdir / "config.json").read_text())
        assert about["dataset_fingerprint"] == summary["dataset_fingerprint"]


def test_same_command_again_only_evaluates(quickstart):
    workdir, _ = quickstart
    before = json.loads((workdir / "summary.json").read_text())
    done = run_main(workdir)
    after = json.loads((workdir / "summary.json").read_text())
    assert done.returncode == 0 and "resuming" in done.stdout
    assert after["params_sha256"] == before["params_sha256"]
    assert after["test_accuracy"] == before["test_accuracy"]
    assert after["train_seconds"] == before["train_seconds"]
    assert [row["split"] for row in rows(workdir)].count("test") == 2


def test_a_second_start_compiles_nothing(tmp_path):
    """Every program of a second run, of another seed, comes from the persistent cache."""
    cache = tmp_path / "cache"
    options = (*QUICK, f"--config.compilation_cache={cache}")
    assert run_main(tmp_path / "first", *options).returncode == 0
    first = {path.name for path in cache.iterdir() if not path.name.endswith("-atime")}
    # Once for training; the evaluation once for each size of split. Not again after the first step.
    programs = [name.split("-")[0] for name in first]
    assert programs.count("jit_train_step") == 1 and programs.count("jit_compiled_eval") == 2
    assert run_main(tmp_path / "second", *options, "--config.seed=1").returncode == 0
    second = {path.name for path in cache.iterdir() if not path.name.endswith("-atime")}
    assert second == first


def test_same_seed_same_parameters_other_seed_other(tmp_path):
    sha = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert run_main(tmp_path / name, *QUICK, f"--config.seed={seed}").returncode == 0
        sha[name] = json.loads((tmp_path / name / "summary.json").read_text())["params_sha256"]
    assert sha["a"] == sha["b"] != sha["c"]


def test_nan_stops_with_the_step_and_advice(tmp_path):
    done = run_main(tmp_path / "run", *QUICK, "--config.optimizer.learning_rate=1e30")
    assert done.returncode == 3 and "Traceback" not in done.stderr
    assert "NaN or infinite at step 1;" in done.stderr and "learning_rate" in done.stderr
    assert "no checkpoint was written" in done.stderr
    assert not (tmp_path / "run" / "summary.json").exists()


def test_nan_made_by_the_last_update_is_seen(tmp_path):
    """Its loss was computed before: one batch an epoch, one epoch."""
    options = (
        "--config.total_epochs=1",
        "--config.batch_size=1295",
        "--config.schedule.name=constant",
    )
    done = run_main(tmp_path / "run", *QUICK, *options, "--config.optimizer.learning_rate=1e30")
    assert done.returncode == 3 and not (tmp_path / "run" / "summary.json").exists()


def test_nan_names_the_last_good_checkpoint(quick_config, tmp_path, monkeypatch):
    """The rate explodes in the second epoch, when the first one's checkpoint is on disk."""
    config = quick_config
    per_epoch = 1295 // config.batch_size

    def explode(*_):
        import jax.numpy as jnp

        return lambda step: jnp.where(step >= per_epoch + 3, 1e33, 5.0)

    monkeypatch.setattr(schedules, "make_schedule", explode)
    with pytest.raises(train.TrainingDiverged) as caught:
        train.train_and_evaluate(config, tmp_path / "run", Console(file=io.StringIO()))
    assert caught.value.exit_code == 3
    assert f"/checkpoints/{per_epoch}. Try" in str(caught.value)
    assert (tmp_path / "run" / "checkpoints" / str(per_epoch)).is_dir()


def test_test_set_is_read_once_after_training(quick_config, tmp_path, monkeypatch):
    read, split = [], data.Dataset.split

    def spy(self, name):
        done = (tmp_path / "run" / "metrics.jsonl").exists() and rows(tmp_path / "run")
        read.append((name, done[-1]["step"] if done else 0))
        return split(self, name)

    monkeypatch.setattr(data.Dataset, "split", spy)
    summary = train.train_and_evaluate(quick_config, tmp_path / "run", Console(file=io.StringIO()))
    assert read == [("train", 0), ("test", summary["steps"])]


def test_a_terminal_gets_a_progress_bar(quick_config, tmp_path):
    text = io.StringIO()
    train.train_and_evaluate(
        quick_config, tmp_path / "run", Console(file=text, force_terminal=True, width=160)
    )
    assert "images/s" in text.getvalue() and "ETA" in text.getvalue() and "━" in text.getvalue()


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 5},
        {"optimizer": {"learning_rate": 0.5}},
    ],
)
def test_another_config_in_the_same_workdir_is_refused(quick_config, tmp_path, changes):
    from cifar_jax import workdir

    workdir.open_workdir(tmp_path, quick_config, "data")
    other = config_lib.check(quick_config.to_dict())
    other.update(changes)
    (name,) = config_lib.flatten(changes)
    with pytest.raises(ConfigError, match=rf"{name}: .* there, .* now"):
        workdir.open_workdir(tmp_path, other, "data")
    with pytest.raises(ConfigError, match="other digits data"):
        workdir.open_workdir(tmp_path, quick_config, "other data")


def test_damaged_or_unwritable_workdir_is_said(quick_config, tmp_path):
    from cifar_jax import workdir

    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        workdir.open_workdir(tmp_path, quick_config, "data")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="can't use"):
        workdir.open_workdir(tmp_path / "file" / "run", quick_config, "data")


def test_without_tensorflow_all_but_events_works(tmp_path):
    # Python's finder, blind to TensorFlow: as on a machine that does not have it.
    blocker = """
        import sys
        class Blind:
            def __init__(self, finder):
                self.finder = finder
            def find_spec(self, name, path=None, target=None):
                return None if name == "tensorflow" else self.finder.find_spec(name, path, target)
        sys.meta_path[:] = [Blind(finder) for finder in sys.meta_path]
    """
    (tmp_path / "sitecustomize.py").write_text(textwrap.dedent(blocker))
    done = run_main(
        tmp_path / "run",
        *QUICK,
        "--config.tensorboard=true",
        PYTHONPATH=os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]),
    )
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if "no TensorBoard events" in line]
    assert len(said) == 1 and "tensorflow" in said[0]
    assert [row["split"] for row in rows(tmp_path / "run")].count("validation") == 2


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--config.total_epoch=3", "did you mean `total_epochs`?"),
        ("--config.batch_size=many", "batch_size"),
        ("--config.dataset.name=digit", "digits"),
        ("--config.model.name=basicnet", "basic_net"),
    ],
)
def test_bad_input_is_one_message_without_traceback(tmp_path, argument, message):
    done = run_main(tmp_path / "run", argument)
    assert done.returncode == 2 and message in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "run").exists()


def test_help_lists_every_field():
    done = run_main("unused", "--help")
    assert done.returncode == 0
    assert all(f"--config.{name}=" in done.stdout for name in config_lib.fields())


def test_help_may_be_cut_short():
    """As by `| head -1`: the reader closes the pipe, and no traceback appears."""
    process = subprocess.Popen(
        command("unused", "--help"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait(timeout=60) == 141


def test_batch_that_does_not_fit_is_refused(quick_config, tmp_path):
    quick_config.batch_size = 5000
    with pytest.raises(ConfigError, match="more than the 1294 training images|1295"):
        train.train_and_evaluate(quick_config, tmp_path / "run", Console(file=io.StringIO()))
    assert not (tmp_path / "run").exists()


def test_a_validation_set_without_images_is_refused(quick_config, tmp_path):
    quick_config.dataset.validation_fraction = 0.0001
    with pytest.raises(ConfigError, match="holds out no image"):
        train.train_and_evaluate(quick_config, tmp_path / "run", Console(file=io.StringIO()))


def test_a_checkpoint_made_by_a_signal_is_no_candidate_for_the_best(
    quick_config, tmp_path, monkeypatch
):
    """With a checkpoint only at the end, the best is the last: also when a signal came between."""
    quick_config.total_epochs, quick_config.checkpoint.every_epochs = 3, 50
    caught, end_epoch = [], train.end_epoch

    def signalled(*arguments):
        caught.append(15)
        return end_epoch(*arguments)

    monkeypatch.setattr(train.runtime, "catch_signals", lambda: contextlib.nullcontext(caught))
    monkeypatch.setattr(train, "end_epoch", signalled)
    with pytest.raises(runtime.Interrupted):
        train.train_and_evaluate(quick_config, tmp_path / "run", Console(file=io.StringIO()))
    monkeypatch.setattr(train, "end_epoch", end_epoch)
    caught.clear()
    summary = train.train_and_evaluate(quick_config, tmp_path / "run", Console(file=io.StringIO()))
    assert summary["checkpoints"]["best"]["step"] == summary["steps"]


def test_what_is_damaged_is_named_and_another_config_never_continues(quick_config, tmp_path):
    console = Console(file=io.StringIO())
    summary = train.train_and_evaluate(quick_config, tmp_path / "run", console)
    (tmp_path / "run" / "config.json").unlink()
    other = config_lib.check(quick_config.to_dict())
    other.optimizer.learning_rate = 0.5
    with pytest.raises(ConfigError, match="optimizer.learning_rate: 0.002 there, 0.5 now"):
        train.train_and_evaluate(other, tmp_path / "run", console)
    (tmp_path / "run" / "config.json").unlink()
    (tmp_path / "run" / "metrics.jsonl").write_bytes(b'\xff\xfe\n{"step": "a", "split": 1}\n[]\n')
    last = tmp_path / "run" / "checkpoints" / str(summary["steps"])
    for file in (last / "state").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    with pytest.raises(UserError, match=f"{last} can't be read"):
        train.train_and_evaluate(quick_config, tmp_path / "run", console)
    for file in last.rglob("metrics/*"):
        file.write_bytes(b"{")
    with pytest.raises(UserError, match="one of them is damaged"):
        train.train_and_evaluate(quick_config, tmp_path / "run", console)


def test_without_validation_the_last_is_the_result(quick_config, tmp_path):
    quick_config.dataset.validation_fraction, quick_config.selection = 0.0, "last"
    summary = train.train_and_evaluate(quick_config, tmp_path / "run", Console(file=io.StringIO()))
    assert summary["validation_accuracy"] is None and summary["selected"] == "last"
    assert list(summary["checkpoints"]) == ["last"]


def test_plateau_lowers_the_rate(quick_config, tmp_path):
    quick_config.total_epochs = 4
    quick_config.schedule.update(
        name="plateau", patience=0, threshold=10.0, threshold_mode="abs", factor=0.5
    )
    train.train_and_evaluate(quick_config, tmp_path / "run", Console(file=io.StringIO()))
    found = {row["epoch"]: row for row in rows(tmp_path / "run") if row["split"] == "train"}
    # No improvement counts, so after the first epoch every epoch halves the rate.
    rates = [found[epoch]["learning_rate"] for epoch in (1, 2, 3, 4)]
    np.testing.assert_allclose(rates, 0.002 * np.array([1, 1, 0.5, 0.25]), rtol=1e-6)


def test_versions_name_what_decides_the_numbers():
    assert {"python", "cifar-jax", "jax", "jaxlib", "flax", "optax"} <= runtime.versions().keys()
