"""What was needed once is not asked for again: archives, files of weights, data sets, folders that can be written."""

import io
import itertools
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest
from command_line import ROOT
from nobody import run_as_nobody
from PIL import Image
from rich.console import Console
from small_archives import Archives

from cifar_jax import config as config_lib
from cifar_jax import data, gradcam, models, report, train, trained, weights, workdir
from cifar_jax.analysis import result
from cifar_jax.errors import ConfigError, DataError, UserError
from cifar_jax.runtime import Interrupted
from cifar_jax.sweep import cells, driver


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
    other = Archives().make(tmp_path / "other.tar.gz", "cifar10-binary", count=4)
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


@pytest.fixture(scope="module")
def file_of_weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "w.npz"
    rng = np.random.default_rng(0)
    shapes = models.registry.shapes("basic_net")
    drawn = jax.tree.map(lambda x: (0.1 * rng.normal(size=x.shape)).astype(np.float32), shapes)
    weights.write(path, models.to_torch("basic_net", drawn))
    return path


@pytest.fixture
def fine_tuning(quick_config, file_of_weights, tmp_path):
    """A config that begins with a file of weights of the test's own."""
    quick_config.model.weights = str(shutil.copy(file_of_weights, tmp_path / "w.npz"))
    return quick_config


def interrupted(monkeypatch, call, looks=3):
    """Calls a training that is told at so many looks at the signals to stop."""
    with monkeypatch.context() as patched:
        count = itertools.count(1)
        patched.setattr(train.cluster, "signal_of_any", lambda _: 15 if next(count) >= looks else 0)
        with pytest.raises(Interrupted):
            call()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, module_config, file_of_weights):
    """The checksum of a fine-tuning's parameters."""
    config = config_lib.check(module_config.to_dict())
    config.model.weights = str(file_of_weights)
    folder = tmp_path_factory.mktemp("uninterrupted")
    return train.train_and_evaluate(config, folder / "run", quiet())["params_sha256"]


def test_a_fine_tuning_goes_on_without_its_file(fine_tuning, uninterrupted, tmp_path, monkeypatch):
    """To the same end, under the old name, and under the file's new one."""
    config, run = fine_tuning, tmp_path / "run"
    interrupted(monkeypatch, lambda: train.train_and_evaluate(config, run, quiet()))
    file = pathlib.Path(config.model.weights)
    file.rename(tmp_path / "renamed.npz")
    summary = train.train_and_evaluate(config, run, quiet())
    assert summary["params_sha256"] == uninterrupted
    assert trained.open_run(run).step == summary["checkpoints"]["best"]["step"]

    config.model.weights = str(tmp_path / "renamed.npz")
    assert train.train_and_evaluate(config, run, quiet())["params_sha256"] == uninterrupted
    config.model.weights = str(tmp_path / "nowhere.npz")
    with pytest.raises(UserError, match="no file of weights .*nowhere.npz"):
        train.train_and_evaluate(config, run, quiet())


def test_another_content_is_another_run(fine_tuning, tmp_path, monkeypatch):
    """Even under the same name."""
    config, run = fine_tuning, tmp_path / "run"
    interrupted(monkeypatch, lambda: train.train_and_evaluate(config, run, quiet()), looks=1)
    file = pathlib.Path(config.model.weights)
    arrays = weights.read(file)
    weights.write(file, {name: 2 * array for name, array in arrays.items()})
    said = r"model.weights: '.*w.npz of SHA-256 [0-9a-f]{12}' there, '.*w.npz of SHA-256"
    with pytest.raises(ConfigError, match=said):
        train.train_and_evaluate(config, run, quiet())
    (run / "config.json").unlink()  # the checkpoint knows it, too
    with pytest.raises(ConfigError, match=said):
        train.train_and_evaluate(config, run, quiet())


def test_a_fine_tuning_without_a_checkpoint_needs_its_file(fine_tuning, tmp_path, monkeypatch):
    config, run = fine_tuning, tmp_path / "run"
    interrupted(monkeypatch, lambda: train.train_and_evaluate(config, run, quiet()), looks=1)
    shutil.rmtree(run / "checkpoints")
    pathlib.Path(config.model.weights).unlink()
    with pytest.raises(UserError, match="no file of weights .* and .* has no checkpoint to go on"):
        train.train_and_evaluate(config, run, quiet())
    with pytest.raises(UserError, match="no file of weights"):
        train.train_and_evaluate(config, tmp_path / "new", quiet())
    assert not (tmp_path / "new").exists()


def test_a_folder_of_before_contents_were_kept_is_compared_by_name(fine_tuning, tmp_path):
    config, sums = fine_tuning, workdir.weights_of([fine_tuning], {})
    older = workdir.about(config, "data")
    del older["weights_sha256"]
    workdir.check_same(tmp_path, older, workdir.about(config, "data", sums))
    other = config_lib.check(config.to_dict())
    other.model.weights = str(shutil.copy(config.model.weights, tmp_path / "other.npz"))
    mine = workdir.about(other, "data", workdir.weights_of([other], {}))
    with pytest.raises(ConfigError, match="model.weights: '.*w.npz' there, '.*other.npz' now"):
        workdir.check_same(tmp_path, older, mine)
    workdir.check_same(tmp_path, workdir.about(config, "data", sums), mine)  # one content


@pytest.mark.thorough
def test_a_sweep_goes_on_without_its_file(fine_tuning, tmp_path, monkeypatch):
    def sweep():
        variants = {"low": {"optimizer.learning_rate": 0.001}, "high": {"optimizer.learning_rate": 0.01}}  # fmt: skip
        return cells.Sweep(fine_tuning, variants, "low")

    def run(name):
        return driver.train_sweep(sweep(), 1, tmp_path / name, console=quiet())

    timed = {"train_seconds", "images_per_second"}
    expected = [{k: v for k, v in row.items() if k not in timed} for row in run("whole")]
    interrupted(monkeypatch, lambda: run("sweep"))
    file = pathlib.Path(fine_tuning.model.weights)
    file.rename(tmp_path / "renamed.npz")
    found = [{k: v for k, v in row.items() if k not in timed} for row in run("sweep")]
    assert found == expected
    fine_tuning.model.weights = str(tmp_path / "renamed.npz")
    run("sweep")
    shutil.copy(ROOT / "README.md", tmp_path / "other.npz")
    fine_tuning.model.weights = str(tmp_path / "other.npz")
    with pytest.raises(ConfigError, match="low: model.weights: '.*renamed.npz|w.npz of SHA-256"):
        run("sweep")


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


def test_a_page_of_a_run_that_can_not_be_written_to(workdir, tmp_path, monkeypatch, capsys):
    """A file in the place of the folder stands for it, as root may write to any folder."""
    run = shutil.copytree(workdir, tmp_path / "run", ignore=shutil.ignore_patterns("evaluation"))
    (run / "evaluation").write_text("")
    monkeypatch.setattr(result, "measure_speed", lambda *_: None)
    assert report.main([str(run), "--out", str(tmp_path / "r.html")]) == 0
    assert (tmp_path / "r.html").stat().st_size > 100_000
    said = capsys.readouterr()
    assert not said.err and said.out.count("the evaluation is kept in the page only") == 1
    assert (run / "evaluation").read_text() == ""


@pytest.mark.thorough
def test_every_command_that_asks_a_run_leaves_it_alone(workdir, tmp_path):
    """A run in a folder that can't be written to, and results elsewhere."""
    run = shutil.copytree(workdir, tmp_path / "run", ignore=shutil.ignore_patterns("evaluation"))
    for path in (run, *run.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    temporary, here = tmp_path / "tmp", tmp_path / "here"
    temporary.mkdir()
    here.mkdir()
    Image.new("RGB", (32, 32), "red").save(here / "cat.png")
    lines = {
        "report": (run, "--out", "r.html"),
        "evaluate": ("--workdir", run, "--no-speed", "--out", "evaluation"),
        "gradcam": ("--workdir", run, "--count", "2", "--out", "gradcam"),
        "ood": ("--workdir", run, "--ood", "noise", "--count", "20", "--out", "ood"),
        "predict": ("--workdir", run, "cat.png"),
        "export": ("--workdir", run, "--out", "model.jaxexport"),
        "weights": ("--workdir", run, "--target", "weights.npz"),
    }
    try:
        for name, arguments in lines.items():
            done = run_as_nobody(
                name, *arguments, cwd=here, temporary=temporary, XDG_CACHE_HOME=tmp_path / "caches"
            )
            assert (done.returncode, done.stderr) == (0, ""), name
        done = run_as_nobody("evaluate", "--workdir", run, cwd=here, temporary=temporary)
        assert done.returncode == 2 and "choose another --out" in done.stderr
        assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    finally:
        for path in (run, *run.rglob("*")):
            path.chmod(0o755)
