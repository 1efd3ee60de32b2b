"""A run out of its folder again."""

import dataclasses
import io
import json

import numpy as np
import pytest
import small_net
from rich.console import Console

from cifar_jax import data, train, trained
from cifar_jax.errors import UserError
from cifar_jax.train import losses
from cifar_jax.trained import opening

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def finished(made_once, module_config):
    """(folder, summary) of a run with batch norm, averages and a mirrored evaluation."""
    module_config.model.name = small_net.NAME
    module_config.ema.decay = 0.9
    module_config.evaluation.flip = True

    def make(folder):
        train.train_and_evaluate(module_config, folder / "run", Console(file=io.StringIO()))

    with small_net.registered():
        folder = made_once("trained", make) / "run"
        yield folder, json.loads((folder / "summary.json").read_text())


@pytest.mark.thorough
@pytest.mark.parametrize("which", ["best", "last"])
def test_logits_are_those_of_the_runs_own_evaluation(finished, which):
    folder, summary = finished
    run = trained.open_run(folder, which)
    assert run.step == summary["checkpoints"][which]["step"]
    for split in ("validation", "test"):
        images, labels, _ = trained.split(run, split)
        logits = trained.logits(run, images, batch_size=100)  # does not divide their number
        expected = summary["checkpoints"][which][split]
        assert len(labels) == len(logits) == expected["count"]
        assert np.mean(logits.argmax(1) == labels) == expected["accuracy"]
        loss = np.mean(losses.cross_entropy(logits, labels))
        np.testing.assert_allclose(loss, expected["loss"], rtol=1e-5)


def test_the_checkpoint_is_the_one_that_the_config_chose(finished):
    folder, summary = finished
    run = trained.open_run(folder)
    assert run.checkpoint == "best" and run.step == summary["checkpoints"]["best"]["step"]
    assert trained.open_run(folder, run.step).step == run.step


@pytest.mark.parametrize(
    ("selection", "expected"), [("validation", ["best"]), ("last", ["best", "last"])]
)
def test_a_checkpoint_is_read_once_unless_it_is_the_last(
    finished, monkeypatch, selection, expected
):
    folder, summary = finished
    read, asked = opening.reader.read_run, []

    def selected(workdir, which):
        asked.append(which)
        variables, about, step = read(workdir, which)
        return variables, about | {"config": about["config"] | {"selection": selection}}, step

    monkeypatch.setattr(opening.reader, "read_run", selected)
    run = trained.open_run(folder)
    assert asked == expected and run.checkpoint == expected[-1]
    assert run.step == summary["checkpoints"][expected[-1]]["step"]


@pytest.mark.thorough
@pytest.mark.thorough
def test_a_run_without_validation_has_its_last_checkpoint(tmp_path, quick_config):
    """Whose "best" is the last."""
    quick_config.update({"selection": "last", "total_epochs": 1})
    quick_config.dataset.validation_fraction = 0.0
    summary = train.train_and_evaluate(quick_config, tmp_path, Console(file=io.StringIO()))
    run = trained.open_run(tmp_path)
    assert run.checkpoint == "last" and run.step == summary["steps"]


def test_splits_are_those_of_the_training(finished):
    run = trained.open_run(finished[0])
    parts = [trained.split(run, name) for name in ("train", "validation")]
    assert [len(labels) for _, labels, _ in parts] == [1295, 143]
    assert sorted(np.concatenate([indices for *_, indices in parts])) == list(range(1438))
    images, labels = run.dataset.split("train")
    np.testing.assert_array_equal(parts[1][0], images[parts[1][2]])
    with pytest.raises(UserError, match="train, validation and test"):
        trained.split(run, "all")


def test_no_images_have_no_logits(finished):
    run = trained.open_run(finished[0])
    assert trained.logits(run, np.zeros((0, 32, 32, 3), np.uint8)).shape == (0, 10)


@pytest.mark.parametrize(
    ("which", "message"), [("first", "best, last or a step"), ("7", "no checkpoint 7; there are")]
)
def test_a_checkpoint_that_is_none_is_refused(finished, which, message):
    with pytest.raises(UserError, match=message):
        trained.open_run(finished[0], which)


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="no workdir of a run"):
        trained.open_run(tmp_path)


def test_the_folder_of_a_sweep_is_refused(tmp_path):
    (tmp_path / "checkpoints" / "0").mkdir(parents=True)
    (tmp_path / "sweep.json").write_text("{}")
    with pytest.raises(UserError, match="is the folder of a sweep"):
        trained.open_model(tmp_path)


def test_other_data_is_refused(finished, monkeypatch):
    other = dataclasses.replace(data.load("digits"), fingerprint="0" * 64)
    monkeypatch.setattr(data, "load", lambda *_: other)
    with pytest.raises(UserError, match="other digits data"):
        trained.open_run(finished[0])


def test_config_of_another_version_is_refused(finished, monkeypatch):
    read = opening.reader.read_run

    def older(*arguments):
        variables, about, step = read(*arguments)
        about = json.loads(json.dumps(about))
        about["config"]["model"]["colour"] = "red"
        return variables, about, step

    monkeypatch.setattr(opening.reader, "read_run", older)
    with pytest.raises(UserError, match="another version of cifar_jax.*colour"):
        trained.open_run(finished[0])
