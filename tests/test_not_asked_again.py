"""What was needed once is not asked for again: archives, files of weights, data sets, folders that can be written."""

import io
import itertools
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from small_archives import Archives

from cifar_jax import config as config_lib
from cifar_jax import data, gradcam, models, train, trained
from cifar_jax.analysis import result
from cifar_jax.analysis.report import collect
from cifar_jax.errors import ConfigError, DataError, UserError
from cifar_jax.machine.runtime import Interrupted
from cifar_jax.models import weight_files
from cifar_jax.runs import workdir
from cifar_jax.sweep import cells, driver
from cifar_jax.train import inputs, loop

pytestmark = pytest.mark.thorough


def quiet():
    return Console(file=io.StringIO())


# ---- The archive


@pytest.fixture(scope="module")
def of_archive(tmp_path_factory, module_config):
    """(folder with run/, data/ and the archive, config) of a run on data that was prepared from an archive."""
    folder = tmp_path_factory.mktemp("of_archive")
    archive = Archives().make(folder / "cifar.tar.gz", "cifar10-binary", count=8)
    config = config_lib.check(module_config.to_dict())
    config.update({"total_epochs": 1, "batch_size": 8})
    config.dataset.update({"name": "cifar10", "data_dir": str(folder / "data")})
    config.dataset.update({"archive": str(archive), "validation_fraction": 0.25})
    train.train_and_evaluate(config, folder / "run", quiet())
    return folder, config


@pytest.fixture
def moved(of_archive):
    """The same while the archive is elsewhere."""
    folder, config = of_archive
    archive = pathlib.Path(config.dataset.archive)
    archive.rename(folder / "moved.tar.gz")
    yield folder, config
    archive.unlink(missing_ok=True)
    (folder / "moved.tar.gz").rename(archive)


def test_a_run_needs_its_archive_no_more(moved):
    folder, config = moved
    assert trained.open_run(folder / "run").dataset.sizes == {"train": 40, "test": 8}
    before = json.loads((folder / "run" / "summary.json").read_text())
    again = train.train_and_evaluate(config, folder / "run", quiet())
    assert again["params_sha256"] == before["params_sha256"]
    with pytest.raises(DataError, match="archive .* does not exist"):  # a new one does
        train.train_and_evaluate(config, folder / "new", quiet())
    assert not (folder / "new").exists()


def test_the_fingerprint_decides_whatever_lies_at_the_archives_place(moved):
    folder, config = moved
    Archives().make(pathlib.Path(config.dataset.archive), "cifar100-binary")
    assert trained.open_run(folder / "run").dataset.sizes == {"train": 40, "test": 8}
    with pytest.raises(DataError, match="was not made from"):  # who names it in training means it
        train.train_and_evaluate(config, folder / "run", quiet())


def test_other_data_in_the_folder_is_refused_by_its_fingerprint(moved, tmp_path):
    folder, config = moved
    other = Archives().make(tmp_path / "other.tar.gz", "cifar10-binary", count=12)
    data.load("cifar10", tmp_path / "other", other, lambda line: None)
    with pytest.raises(UserError, match="trained on other cifar10 data"):
        trained.open_run(folder / "run", data_dir=tmp_path / "other")
    config = config_lib.check(config.to_dict())
    config.dataset.data_dir = str(tmp_path / "other")
    with pytest.raises(ConfigError, match="holds a run on other cifar10 data"):
        train.train_and_evaluate(config, folder / "run", quiet())


def test_a_set_that_is_gone_with_its_archive_is_said(moved, tmp_path):
    folder, _ = moved
    with pytest.raises(DataError, match="is not in .*, and the archive .* does not exist") as said:
        trained.open_run(folder / "run", data_dir=tmp_path / "empty")
    assert "--data_dir DIR" in str(said.value) and "\n" not in str(said.value)


# ---- The file of weights


def interrupted(call, looks=1):
    """Calls a training that is told to stop at so many looks at the signals."""
    with pytest.MonkeyPatch.context() as patched:
        count = itertools.count(1)
        patched.setattr(
            loop.processes, "signal_of_any", lambda _: 15 if next(count) >= looks else 0
        )
        with pytest.raises(Interrupted):
            call()


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, module_config):
    """(folder with run/ and w.npz, config) of a run that began with a file of weights, and stopped soon."""
    folder = tmp_path_factory.mktemp("stopped")
    rng = np.random.default_rng(0)
    shapes = models.registry.shapes("basic_net")
    drawn = jax.tree.map(lambda x: (0.1 * rng.normal(size=x.shape)).astype(np.float32), shapes)
    weight_files.write(folder / "w.npz", models.to_torch("basic_net", drawn))
    config = config_lib.check(module_config.to_dict())
    config.total_epochs, config.model.weights = 1, "w.npz"
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        interrupted(lambda: train.train_and_evaluate(config, folder / "run", quiet()))
    return folder, config


@pytest.fixture
def fine_tuning(stopped, tmp_path, monkeypatch):
    """(folder, config) of the test's own copy, which is the current folder."""
    folder, config = stopped
    copy = shutil.copytree(folder, tmp_path / "a run [1] {a,b}*? 100%20#")
    monkeypatch.chdir(copy)
    return copy, config_lib.check(config.to_dict())


@pytest.mark.thorough
def test_a_fine_tuning_goes_on_without_its_file(fine_tuning):
    """To the same end, under the old name, and under the file's new one."""
    folder, config = fine_tuning
    shutil.copytree(folder / "run", folder / "other")
    pathlib.Path(config.model.weights).rename(folder / "renamed.npz")
    summary = train.train_and_evaluate(config, folder / "run", quiet())
    assert trained.open_run(folder / "run").step == summary["steps"] == 20

    config.model.weights = str(folder / "renamed.npz")
    again = train.train_and_evaluate(config, folder / "other", quiet())
    assert again["params_sha256"] == summary["params_sha256"]
    config.model.weights = str(folder / "nowhere.npz")
    with pytest.raises(UserError, match="no file of weights .*nowhere.npz"):
        train.train_and_evaluate(config, folder / "run", quiet())


def test_another_content_is_another_run(fine_tuning):
    """Even under the same name."""
    folder, config = fine_tuning
    file = pathlib.Path(config.model.weights)
    arrays = weight_files.read(file)
    weight_files.write(file, {name: 2 * array for name, array in arrays.items()})
    said = r"model.weights: '.*w.npz of SHA-256 [0-9a-f]{12}' there, '.*w.npz of SHA-256"
    with pytest.raises(ConfigError, match=said):
        train.train_and_evaluate(config, folder / "run", quiet())
    (folder / "run" / "config.json").unlink()  # the checkpoint knows it, too
    with pytest.raises(ConfigError, match=said):
        train.train_and_evaluate(config, folder / "run", quiet())


def test_a_fine_tuning_without_a_checkpoint_needs_its_file(fine_tuning):
    folder, config = fine_tuning
    shutil.rmtree(folder / "run" / "checkpoints")
    pathlib.Path(config.model.weights).unlink()
    with pytest.raises(UserError, match="no file of weights .* and .* has no checkpoint to go on"):
        train.train_and_evaluate(config, folder / "run", quiet())
    with pytest.raises(UserError, match="no file of weights"):
        train.train_and_evaluate(config, folder / "new", quiet())
    assert not (folder / "new").exists()


def test_a_folder_of_before_contents_were_kept_is_compared_by_name(fine_tuning):
    folder, config = fine_tuning
    sums = inputs.weights_of([config], {})
    older = workdir.about(config, "data")
    del older["weights_sha256"]
    workdir.check_same(folder, older, workdir.about(config, "data", sums))
    other = config_lib.check(config.to_dict())
    other.model.weights = str(shutil.copy(config.model.weights, folder / "other.npz"))
    mine = workdir.about(other, "data", inputs.weights_of([other], {}))
    with pytest.raises(ConfigError, match="model.weights: '.*w.npz' there, '.*other.npz' now"):
        workdir.check_same(folder, older, mine)
    workdir.check_same(folder, workdir.about(config, "data", sums), mine)  # one content


@pytest.mark.thorough
def test_a_sweep_goes_on_without_its_file(fine_tuning, no_figures):
    folder, config = fine_tuning
    rates = {"low": {"optimizer.learning_rate": 0.001}, "high": {"optimizer.learning_rate": 0.01}}

    def run(name):
        rows = driver.train_sweep(
            cells.Sweep(config, rates, "low"), 1, folder / name, console=quiet()
        )
        return [{key: row[key] for key in row if "second" not in key} for row in rows]

    expected = run("whole")
    interrupted(lambda: run("sweep"))
    pathlib.Path(config.model.weights).rename(folder / "renamed.npz")
    assert run("sweep") == expected
    config.model.weights = str(folder / "renamed.npz")
    assert run("sweep") == expected
    config.model.weights = str(folder / "other.npz")
    arrays = weight_files.read(folder / "renamed.npz")
    weight_files.write(folder / "other.npz", {name: 2 * array for name, array in arrays.items()})
    with pytest.raises(
        ConfigError, match="low: model.weights: 'w.npz of SHA-256 .* there, '.*other"
    ):
        run("sweep")
    config.model.weights = str(folder / "nowhere.npz")
    with pytest.raises(UserError, match="nowhere.npz"):
        run("new")


# ---- The data set


@pytest.fixture
def no_data(monkeypatch):
    def gone(*_, **__):
        raise DataError("the data set is gone")

    monkeypatch.setattr(data, "load", gone)


def test_pictures_of_ones_own_are_explained_without_the_data_set(
    workdir, no_data, tmp_path, capsys
):
    Image.new("RGB", (40, 20), "red").save(tmp_path / "cat.png")
    start = ("--workdir", str(workdir))
    out = ("--out", str(tmp_path / "out"))
    assert gradcam.main([*start, "--images", str(tmp_path / "cat.png"), "--class", "3", *out]) == 0
    assert (tmp_path / "out" / "gradcam.png").is_file()
    assert gradcam.main([*start, "--list-layers"]) == 0
    assert "conv2_relu" in capsys.readouterr().out
    assert gradcam.main([*start, *out]) == 2  # the split's images are its
    assert "the data set is gone" in capsys.readouterr().err


# ---- The run's folder


def test_a_report_needs_no_place_for_its_evaluation(workdir, tmp_path, monkeypatch):
    """A file in the place of the folder stands for one that can't be written to: root may write to any."""
    run = shutil.copytree(workdir, tmp_path / "run", ignore=shutil.ignore_patterns("evaluation"))
    (run / "evaluation").write_text("")
    monkeypatch.setattr(result, "measure_speed", lambda *_: None)
    said = []
    collected = collect.collect("run", run, "test", say=said.append)
    summary = json.loads((run / "summary.json").read_text())
    assert collected.evaluation["accuracy"] == summary["test_accuracy"]
    assert len(said) == 2 and "the evaluation is kept in the page only" in said[1]
    assert (run / "evaluation").read_text() == ""
