"""A run of a sweep as a folder: its name, the row of the group's checkpoint that it is, and what is refused."""

import json
import shutil
from typing import Any

import flax
import jax
import numpy as np
import pytest
from damages import DAMAGES, arrays_of

from cifar_jax import config as config_lib
from cifar_jax import data, train, trained
from cifar_jax.errors import UserError
from cifar_jax.machine import files
from cifar_jax.runs import checkpoints, reader, stacked, workdir
from cifar_jax.sweep import Sweep, cells, driver, opening, results, run_folders
from cifar_jax.sweep.stack import Best, Stack, TrialState

NAMES = {
    ("lr_0.1", "lr_0.01"): ("lr_0.1", "lr_0.01"),
    ("path_a/b\\c", 'a:*?"<>|b', "t\x1b\n\ud800ab"): ("path_a_b_c", "a_______b", "t___ab"),
    ("a/b", "a_b", "A_B", "a:b"): ("a_b", "a_b~2", "A_B~3", "a_b~4"),
    ("a~2", "a/", "a_", "a:~2"): ("a~2", "a_", "a_~2", "a_~2~2"),
    ("", ".hidden", ".."): ("cell", "_hidden", "_."),
    ("e\u0301", "\u00e9"): ("e\u0301", "\u00e9~2"),
    ("long " * 100, "ü" * 200): (("long " * 100)[:180], "ü" * 90),
}


@pytest.mark.parametrize(("given", "expected"), NAMES.items())
def test_names_are_readable_and_all_are_others(given, expected, tmp_path):
    runs = [[f"{cell}/{seed}" for cell in given for seed in (0, 12)]]
    names = stacked.folder_names({"cells": dict.fromkeys(given), "groups": runs})
    assert [names[run] for run in runs[0]] == [f"{e}-{seed}" for e in expected for seed in (0, 12)]
    for name in names.values():
        (tmp_path / name).mkdir()


# ---- A sweep of two cells and two seeds, made by hand

RUNS = ("a/0", "a/1", "b/0", "b/1")
STEP, PER_EPOCH, BEST_EPOCHS = 40, 10, (2, 4, 0, 3)
LAST = (40, 40, 40, 30)  # the last run stopped early


@flax.struct.dataclass
class State:
    """Of a TrainState all that matters here."""

    step: Any
    params: Any
    batch_stats: Any
    averaged: Any


def arrays(shift):
    """Parameters of four runs, all of other values."""
    kernel = np.arange(24, dtype=np.float32).reshape(4, 2, 3) + shift
    return {"params": {"conv": {"kernel": kernel}}, "batch_stats": {"bn": {"mean": kernel[..., 0]}}}


def make(folder, averaged=False):
    """A sweep's folder as driver.train_sweep leaves it, with no more in it than a reader needs."""
    config = config_lib.default()
    config.dataset.name = "digits"
    sweep = Sweep(config_lib.check(config), {"a": {}, "b": {"batch_size": 64}}, "a")
    facts, runs = data.load("digits"), cells.runs(sweep, 2)
    group = type("Group", (), {"runs": runs})
    sweep_about = opening.about(sweep, runs, facts, [group])
    folder.mkdir()
    files.write_json(folder / "sweep.json", sweep_about)
    last = arrays(100)
    state = State(np.int32(LAST), **last, averaged=arrays(200) if averaged else {})
    best = Best(arrays(0), np.float32(BEST_EPOCHS), np.int32(BEST_EPOCHS))
    stack = Stack(np.int32(STEP), TrialState(state, np.zeros(4, np.int32)), best)
    with checkpoints.opened(folder / "checkpoints" / "0", pytest.fail) as manager:
        checkpoints.save(manager, jax.device_put(stack), {"seconds": 1}, sweep_about)
    for row, (run, name) in enumerate(zip(runs, names(sweep_about), strict=True)):
        own = workdir.about(run.config, facts.fingerprint)
        place = run.name, 0, STEP, row, PER_EPOCH
        content = stacked.about(own, facts.facts(), *place)
        run_folders.write(folder, {f"runs/{name}": (content, [], {})})
    return folder


def names(sweep_about):
    return stacked.folder_names(sweep_about).values()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make(tmp_path_factory.mktemp("made") / "sweep")


@pytest.fixture
def sweep(made, tmp_path):
    """A copy to be changed."""
    return shutil.copytree(made, tmp_path / "sweep")


@pytest.mark.parametrize(
    ("run", "which", "shift", "step"),
    [
        *(("a-0", "best", 0, 20), ("a-1", "best", 0, 40), ("b-1", "best", 0, 30)),
        *(("a-0", "last", 100, 40), ("b-1", "last", 100, 30), ("a-0", "40", 100, 40)),
        *(("b-1", 30, 100, 30), ("b-0", "best", 100, 40)),  # none was evaluated: the last
    ],
)
def test_a_run_is_its_row(made, run, which, shift, step):
    variables, about, at = reader.read_run(made / "runs" / run, which)
    row = ("a-0", "a-1", "b-0", "b-1").index(run)
    expected = jax.tree.map(lambda x: x[row], arrays(shift))
    jax.tree.map(np.testing.assert_array_equal, variables, expected)
    assert at == step and about["config"]["seed"] == int(run[-1])
    assert about["config"]["batch_size"] == (64 if run[0] == "b" else 128)
    assert about["dataset"]["class_names"] == [str(k) for k in range(10)]
    assert "stacked" not in about


def test_the_moving_averages_are_what_the_last_is_evaluated_with(tmp_path):
    folder = make(tmp_path / "sweep", averaged=True)
    variables, *_ = reader.read_run(folder / "runs" / "a-1", "last")
    jax.tree.map(
        np.testing.assert_array_equal, variables, jax.tree.map(lambda x: x[1], arrays(200))
    )


def test_other_steps_are_refused_as_of_any_run(made):
    with pytest.raises(UserError, match="has no checkpoint 20; there are: best, 40"):
        reader.read_run(made / "runs" / "a-0", 20)
    with pytest.raises(UserError, match="best, last or a step"):
        reader.read_run(made / "runs" / "a-0", "first")


def test_the_folder_can_be_moved_and_looked_at_through_a_link(sweep, tmp_path):
    moved = sweep.rename(tmp_path / "elsewhere")
    (tmp_path / "link").symlink_to(moved / "runs" / "a-0")
    for folder in (moved / "runs" / "a-0", tmp_path / "link"):
        assert reader.read_run(folder, "best")[2] == 20


def test_the_folder_of_a_run_alone_says_what_is_missing(sweep, tmp_path):
    copied = shutil.copytree(sweep / "runs" / "a-0", tmp_path / "copied")
    with pytest.raises(UserError, match="a run of a sweep, but not in the folder of one"):
        reader.read_run(copied, "best")
    shutil.rmtree(sweep / "checkpoints")
    with pytest.raises(UserError, match="there is no .*checkpoints/0 with the arrays"):
        reader.read_run(sweep / "runs" / "a-0", "best")


# ---- Damage, and pointers elsewhere


def change(folder, edit, with_sum=True):
    """Edits a config.json; `with_sum`: as somebody does who writes a checksum that fits."""
    content = json.loads((folder / "config.json").read_text())
    edit(content)
    if with_sum:
        place = content["stacked"]
        place.pop("sha256")
        place["sha256"] = stacked.checksums.of_json(content)
    (folder / "config.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    "pointer",
    [
        "../../../other/checkpoints/0",
        "/etc",
        "../../checkpoints/../../x",
        "../../checkpoints/0/..",
        3,
    ],
)
def test_a_pointer_that_leads_out_of_the_sweep_is_refused(sweep, pointer):
    folder = sweep / "runs" / "a-0"
    change(folder, lambda content: content["stacked"].update(checkpoints=pointer))
    with pytest.raises(UserError, match="config.json is damaged .it leads out of the sweep"):
        reader.read_run(folder, "best")


@pytest.mark.parametrize(
    "stacked_is",
    [None, [], "x", {}, {"row": -1}, {"row": True}, {"row": "0"}, {"step": 1.5}, {"steps_per_epoch": None}],
)  # fmt: skip
def test_a_pointer_that_is_none_is_refused(sweep, stacked_is):
    folder = sweep / "runs" / "a-0"

    def edit(content):
        whole = isinstance(stacked_is, dict) and stacked_is
        content["stacked"] = content["stacked"] | stacked_is if whole else stacked_is

    change(folder, edit, with_sum=isinstance(stacked_is, dict) and bool(stacked_is))
    with pytest.raises(UserError, match=r"config\.json is damaged \("):
        reader.read_run(folder, "best")


def test_a_changed_fact_is_seen(sweep):
    folder = sweep / "runs" / "a-0"
    change(folder, lambda content: content["dataset"]["class_names"].reverse(), with_sum=False)
    with pytest.raises(UserError, match="config.json is damaged .it has other content"):
        reader.read_run(folder, "best")


@pytest.mark.parametrize("place", [{"row": 1}, {"row": 99}, {"run": "b/0"}, {"run": 3}])
def test_the_row_of_another_run_is_refused(sweep, place):
    folder = sweep / "runs" / "a-0"
    change(folder, lambda content: content["stacked"].update(place))
    with pytest.raises(UserError, match="is of another sweep than"):
        reader.read_run(folder, "best")


def test_a_config_that_is_not_the_sweeps_is_refused(sweep):
    folder = sweep / "runs" / "a-0"
    change(folder, lambda content: content["config"]["evaluation"].update(flip=True))
    with pytest.raises(UserError, match="is of another sweep than"):
        reader.read_run(folder, "best")


def test_a_checkpoint_of_another_step_is_not_taken_for_the_end(sweep):
    """A group that is trained anew after damage, and was interrupted."""
    folder = sweep / "runs" / "a-0"
    change(folder, lambda content: content["stacked"].update(step=39))
    with pytest.raises(UserError, match="has no checkpoint 39 with the end of"):
        reader.read_run(folder, "best")


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_arrays_are_refused_also_those_of_another_run(sweep, damage):
    damage(arrays_of(sweep / "checkpoints" / "0", STEP))
    with pytest.raises(UserError, match=r"checkpoints/0/40 is damaged \("):
        reader.read_run(sweep / "runs" / "a-0", "best")


@pytest.mark.parametrize("damage", DAMAGES)
def test_without_its_list_of_files_nothing_is_believed(sweep, damage):
    damage(sweep / "checkpoints" / "0" / str(STEP) / "cifar_jax_files.json")
    with pytest.raises(UserError, match=r"is damaged \(its list of files"):
        reader.read_run(sweep / "runs" / "a-0", "best")


# ---- Runs without a folder


def test_who_asks_for_a_run_that_is_not_there_hears_why(sweep):
    def said(name):
        with pytest.raises(UserError) as error:
            trained.open_model(sweep / "runs" / name)
        assert "\n" not in str(error.value)
        return str(error.value)

    for name in ("a-0", "b-1"):
        shutil.rmtree(sweep / "runs" / name)
    assert "has no run 'a-2'; did you mean `a-" in said("a-2")
    assert "the run a-0 of the sweep" in said("a-0") and "has not ended" in said("a-0")
    rows = [{"cell": "a", "seed": 0, "status": "diverged", "diverged_at_step": 7}]
    rows.append({"cell": "b", "seed": 1, "status": "finished"})
    files.write_csv(sweep / "runs.csv", results.RUN_COLUMNS, rows)
    assert "diverged at step 7: it has no result and no folder" in said("a-0")
    assert "the sweep's command, given again, writes it anew" in said("b-1")
    (sweep / "runs" / "a-1" / "config.json").write_text("{")
    rows.append({"cell": "a", "seed": 1, "status": "finished"})
    files.write_csv(sweep / "runs.csv", results.RUN_COLUMNS, rows)
    assert "config.json can't be read; the sweep's command" in said("a-1")
    (sweep / "sweep.json").write_text("{}")
    assert "sweep.json is damaged" in said("a-0")
    with pytest.raises(UserError, match="one of its runs, .*/runs/NAME"):
        trained.open_model(sweep)


def test_nothing_is_trained_in_them(sweep, tmp_path):
    config = config_lib.default()
    config.dataset.update({"name": "digits", "archive": str(tmp_path / "nowhere")})
    shutil.rmtree(sweep / "runs" / "b-1")
    before = sorted(sweep.rglob("*"))
    for name in ("a-0", "b-1"):
        with pytest.raises(UserError, match="is a run of a sweep, which trains it with others"):
            train.train_and_evaluate(config, sweep / "runs" / name)
        with pytest.raises(UserError, match="is a run of a sweep, which trains it with others"):
            driver.train_sweep(Sweep(config, {"a": {}}, "a"), 1, sweep / "runs" / name)
    with pytest.raises(UserError, match="holds a sweep; choose another --workdir"):
        train.train_and_evaluate(config, sweep)
    assert sorted(sweep.rglob("*")) == before
    (tmp_path / "run").mkdir()
    shutil.copy(sweep / "runs" / "a-0" / "config.json", tmp_path / "run")
    change(tmp_path / "run", lambda content: content.pop("stacked"), with_sum=False)
    with pytest.raises(UserError, match="holds a run; choose another --workdir"):
        driver.train_sweep(Sweep(config, {"a": {}}, "a"), 1, tmp_path / "run")


# ---- Their other files


def test_the_rows_of_its_epochs_are_those_of_a_run():
    epoch = {"cell": "a", "seed": 0, "learning_rate": 0.1, "train_loss": 2.0, "train_accuracy": 0.5}
    first = epoch | {"epoch": 1, "step": 10, "validation_loss": 1.5, "validation_accuracy": 0.6}
    second = epoch | {"epoch": 2, "step": 20, "validation_loss": None, "validation_accuracy": None}
    tested = {"best": {"loss": 1.0, "accuracy": 0.7}, "last": {"loss": float("inf"), "accuracy": 0}}
    rows = run_folders.metrics_rows([first, second], tested, 20)
    assert [(row["split"], row["step"]) for row in rows] == [
        *(("train", 10), ("train_epoch", 10), ("validation", 10)),
        *(("train", 20), ("train_epoch", 20), ("test", 20), ("test", 20)),
    ]
    assert rows[0] == {
        **{"step": 10, "epoch": 1, "split": "train"},
        **{"loss": 2.0, "accuracy": 0.5, "learning_rate": 0.1},
    }
    assert rows[2] == {"step": 10, "epoch": 1, "split": "validation", "loss": 1.5, "accuracy": 0.6}
    assert rows[5]["checkpoint"] == "best" and rows[6]["loss"] is None
    ended = {"best_epoch": 1, "epochs": 2, "steps": 20}
    named = run_folders.results_of([first, second], tested, ended, 10)
    assert named["best"] == {
        **{"step": 10, "test": tested["best"]},
        "validation": {"loss": 1.5, "accuracy": 0.6},
    }
    assert named["last"]["step"] == 20 and named["last"]["validation"] is None
