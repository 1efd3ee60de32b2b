"""The command line over real runs: files, tables, refusals."""

import argparse
import json
import shutil

import jax
import numpy as np
import pytest

from cifar_jax import evaluate, metrics, trained
from cifar_jax.analysis import comparison, result
from cifar_jax.errors import UserError

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def runs(pair, tmp_path_factory):
    """Folders of two runs and the summary of the first; the second holds out other images."""
    folder = shutil.copytree(pair[0].parent, tmp_path_factory.mktemp("evaluate") / "runs")
    summary = json.loads((folder / "run_0" / "summary.json").read_text())
    return folder / "run_0", folder / "run_1", summary


def read(folder):
    """evaluation.json and the arrays of predictions.npz."""
    with np.load(folder / "predictions.npz", allow_pickle=False) as file:
        predictions = dict(file)
    return json.loads((folder / "evaluation.json").read_text()), predictions


@pytest.mark.thorough
def test_a_run_is_evaluated(runs, capsys):
    folder, _, summary = runs
    assert evaluate.main(["--workdir", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "test images of digits" in said and "Confusion matrix" not in said
    assert len(said.splitlines()) <= 24 and "replaced: " not in said  # of a screen
    for words in (
        "accuracy",
        "95 % interval",
        "best class",
        "worst class",
        "most confused",
        "taken for",
    ):
        assert words in said
    out = folder / "evaluation" / "test_best"
    evaluation, predictions = read(out)
    chosen = summary["checkpoints"]["best"]["test"]
    assert (
        evaluation["format"] == 1 and evaluation["step"] == summary["checkpoints"]["best"]["step"]
    )
    assert evaluation["images"] == chosen["count"] == len(predictions["label"])
    assert evaluation["accuracy"] == chosen["accuracy"] and evaluation["optimistic"] is None
    assert evaluation["loss"] == pytest.approx(chosen["loss"], rel=1e-5)
    assert evaluation["macro"] == pytest.approx(metrics.macro(np.array(evaluation["confusion"])))
    assert [each["accuracy"] for each in evaluation["per_class"]] == chosen["per_class_accuracy"]
    assert evaluation["dataset"]["fingerprint"] == summary["dataset_fingerprint"]
    assert evaluation["model"]["params"] == summary["params"] == 62_006
    assert evaluation["model"]["parameter_bytes"] == 248_024
    assert evaluation["config"] == summary["config"]
    assert evaluation["versions"]["jax"] == jax.__version__
    assert [each["batch"] for each in evaluation["speed"]] == [1, 256]
    types = {name: array.dtype for name, array in predictions.items()}
    assert types == {"index": np.int64, "label": np.int32, "logits": np.float32}
    drawn = {path.name for path in (out / "figures").iterdir()}
    assert drawn == {
        f"{name}.{kind}"
        for name in ("confusion", "classes", "reliability", "curves_by_epoch", "curves_by_step",
                     "well_classified", "misclassified")
        for kind in ("png", "svg")
    }  # fmt: skip
    assert not [path for path in out.iterdir() if "partial" in path.name]


def test_the_sums_of_evaluation_json_agree(runs, tmp_path, capsys):
    folder = str(runs[0])
    options = ("--split", "validation", "--no-speed", "--no-figures", "--out", str(tmp_path))
    earlier = {"images": 1234, "split": "test", "step": 7}
    (tmp_path / "evaluation.json").write_text(json.dumps(earlier))
    assert evaluate.main(["--workdir", folder, "--full", *options]) == 0
    said = capsys.readouterr().out
    assert "Confusion matrix" in said
    *_, last = said.splitlines()
    assert last == "replaced: the evaluation of an earlier call (1,234 test images, step 7)"
    evaluation, predictions = read(tmp_path)
    confusion = np.array(evaluation["confusion"])
    assert confusion.sum() == evaluation["images"] == 143
    assert np.trace(confusion) / confusion.sum() == evaluation["accuracy"]
    assert evaluation["weighted"]["recall"] == pytest.approx(evaluation["accuracy"])
    assert [each["images"] for each in evaluation["per_class"]] == confusion.sum(1).tolist()
    assert [each["predicted"] for each in evaluation["per_class"]] == confusion.sum(0).tolist()
    bins = evaluation["calibration"]["bins"]
    assert sum(each["images"] for each in bins) == 143 and len(bins) == 15
    assert sum(each["hits"] for each in bins) == np.trace(confusion)
    assert (
        evaluation["accuracy_interval"][0]
        < evaluation["accuracy"]
        < evaluation["accuracy_interval"][1]
    )
    assert evaluation["accuracy"] <= evaluation["top5_accuracy"] <= 1
    assert evaluation["speed"] is None
    assert evaluation["optimistic"] == "the checkpoint was chosen on these images"
    labels = trained.open_run(folder).dataset.split("train")[1]
    np.testing.assert_array_equal(labels[predictions["index"]], predictions["label"])


@pytest.mark.thorough
def test_two_runs_are_compared(runs, tmp_path, capsys):
    first, second, _ = runs
    assert evaluate.main(["--compare", str(first), str(second), "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "McNemar" in said and "replaced: " not in said
    (earlier,) = result.earlier_comparison(tmp_path)
    assert earlier == "replaced: the comparison of an earlier call (run_0, run_1)"
    comparison = json.loads((tmp_path / "comparison.json").read_text())
    assert [run["name"] for run in comparison["runs"]] == ["run_0", "run_1"]
    (test,) = comparison["mcnemar"]
    counts = [test[name] for name in ("both", "only_first", "only_second", "neither")]
    assert sum(counts) == comparison["images"] == 359
    accuracies = [run["accuracy"] for run in comparison["runs"]]
    assert (counts[0] + counts[1]) / 359 == accuracies[0]
    assert (counts[0] + counts[2]) / 359 == accuracies[1]
    text = (tmp_path / "comparison.md").read_text()
    assert "| run_0 | 62,006 |" in text and "(confusion.png)" in text
    assert (tmp_path / "confusion.png").exists() and (tmp_path / "confusion.svg").exists()


def refused(capsys, *arguments):
    """What the command says to stderr, having ended with the exit code of a UserError."""
    assert evaluate.main([*map(str, arguments)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    return said


def test_a_comparison_opens_every_run_before_it_evaluates_one(runs, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(result, "evaluate", lambda *_: pytest.fail("evaluated"))
    said = refused(capsys, "--compare", runs[0], tmp_path / "none", "--out", tmp_path)
    assert "no workdir of a run" in said


def test_what_is_refused(runs, tmp_path, capsys):
    folder, other, _ = runs
    out = ("--out", tmp_path)
    assert "no workdir of a run" in refused(capsys, "--workdir", tmp_path)
    assert "no split 'all'" in refused(capsys, "--workdir", folder, "--split", "all")
    assert "no checkpoint 7" in refused(capsys, "--workdir", folder, "--checkpoint", "7")
    assert "best, last or a step" in refused(capsys, "--workdir", folder, "--checkpoint", "x")
    (tmp_path / "file").touch()
    for bad in (tmp_path / "file", tmp_path / "file" / "folder"):
        assert "can't write to" in refused(capsys, "--workdir", folder, "--out", bad)
    assert "two workdirs or more" in refused(capsys, "--compare", folder)
    assert "with itself" in refused(capsys, "--compare", folder, f"{folder}/.", *out)
    said = refused(capsys, "--compare", folder, other, "--split", "validation", *out)
    assert "divided the training images differently" in said
    with pytest.raises(SystemExit, match="2"):
        evaluate.main([])


def test_a_run_without_validation_set_has_none_to_evaluate(runs, capsys, monkeypatch):
    def without(*arguments):
        run = opened(*arguments)
        run.config.dataset.validation_fraction = 0.0
        return run

    opened = trained.open_run
    monkeypatch.setattr(trained, "open_run", without)
    said = refused(capsys, "--workdir", runs[0], "--split", "validation")
    assert "without a validation set" in said


def test_answers_that_are_no_numbers_are_refused(runs):
    run = trained.open_run(runs[0])
    broken = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), run.variables)
    run.variables.update(broken)
    with pytest.raises(UserError, match="NaN or infinity; choose an earlier"):
        result.evaluate(run, "test", trained.split(run, "test"), with_speed=False)


@pytest.mark.parametrize(
    ("selection", "checkpoint", "split", "why"),
    [
        ("validation", "best", "test", None),
        ("validation", "best", "validation", "chosen"),
        ("last", "last", "validation", None),
        ("test", "best", "test", "chosen"),
        ("test", "40", "test", "chosen"),
        ("last", "last", "train", "trained on"),
    ],
)
def test_figures_that_are_too_good_say_so(selection, checkpoint, split, why):
    config = argparse.Namespace(selection=selection)
    reason = result.optimistic(config, checkpoint, split)
    assert reason is None if why is None else why in reason


def test_names_are_as_short_as_tells_them_apart(tmp_path):
    a, b = tmp_path / "sgd" / "0", tmp_path / "adam" / "0"
    assert comparison.short_names([str(a), str(b)]) == {"sgd/0": str(a), "adam/0": str(b)}
    assert list(comparison.short_names(["runs/a", "runs/b"])) == ["a", "b"]
