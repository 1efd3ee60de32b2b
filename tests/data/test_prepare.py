"""The command line: a set that is complete, or nothing."""

import tempfile

import pytest

from cifar_jax.data import cache, from_archive, prepare, tfds
from cifar_jax.errors import DataError


def test_prepares_and_says_what_next(archives, tmp_path, capsys):
    path = archives.make(tmp_path / "cifar-10-python.tar.gz", "cifar10-python")
    data = tmp_path / "data"
    assert prepare.main(["--archive", str(path), "--data_dir", str(data)]) == 0
    output = capsys.readouterr().out
    assert f"Ready: 'cifar10' with 20 training and 4 test images of 10 classes in {data}" in output
    assert output.splitlines()[-1].startswith("Next: python -m cifar_jax.main --config basic_net")
    made = sorted(child.name for child in (data / "cifar10/3.0.2").iterdir())
    assert made == [
        "cifar10-test.array_record-00000-of-00001",
        "cifar10-train.array_record-00000-of-00001",
        "cifar_jax_cache",
        "cifar_jax_source.json",
        "dataset_info.json",
        "features.json",
        "label.labels.txt",
    ]
    assert [child.name for child in data.iterdir()] == ["cifar10"]

    # Once more: nothing to do.
    assert prepare.main(["--archive", str(path), "--data_dir", str(data)]) == 0
    assert "already made from this archive" in capsys.readouterr().out


def test_nothing_is_left_among_temporary_files(archives, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    path = archives.make(tmp_path / "cifar.tar.gz", "cifar10-binary")
    from_archive.prepare(path, tmp_path / "data", "", lambda line: None)
    tfds.builder("cifar10", tmp_path / "none")
    assert tempfile.tempdir == str(tmp_path / "tmp") and not list((tmp_path / "tmp").iterdir())


def test_from_an_extracted_folder(archives, tmp_path, capsys):
    inner = archives.extract(tmp_path, "cifar100-binary", archives.files("cifar100-binary"))
    arguments = ["--archive", str(inner), "--data_dir", str(tmp_path / "data")]
    assert prepare.main([*arguments, "--name", "cifar100"]) == 0
    assert "100 classes" in capsys.readouterr().out


@pytest.mark.parametrize("exists", [False, True])
def test_a_bad_archive_leaves_nothing(archives, tmp_path, snapshot, exists, capsys):
    files = archives.files("cifar10-binary")
    files["data_batch_5.bin"] = files["data_batch_5.bin"][:-1]
    path = archives.pack(tmp_path / "a.tar.gz", "cifar10-binary", files)
    data = tmp_path / "data"
    if exists:
        data.mkdir()
    before = snapshot(tmp_path)
    assert prepare.main(["--archive", str(path), "--data_dir", str(data)]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: data_batch_5.bin")
    assert "Traceback" not in captured.err
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_interrupted_writing_leaves_nothing(archives, tmp_path, snapshot, monkeypatch, error):
    path = archives.make(tmp_path / "a.tar.gz", "cifar10-binary")
    (tmp_path / "data").mkdir()
    before = snapshot(tmp_path)
    encode, count = from_archive._png, iter(range(7))

    def fail_late(image):
        if next(count, None) is None:
            raise error
        return encode(image)

    monkeypatch.setattr(from_archive, "_png", fail_late)
    with pytest.raises((DataError, KeyboardInterrupt), match="No space left|^$"):
        from_archive.prepare(path, tmp_path / "data", "", lambda line: None)
    assert snapshot(tmp_path) == before


@pytest.mark.thorough
def test_a_kill_leaves_nothing_believed(archives, tmp_path, python):
    """Killed in the middle of writing, it starts afresh the next time."""
    path = archives.make(tmp_path / "a.tar.gz", "cifar10-binary")
    data = tmp_path / "data"
    code = """
import os, sys
from cifar_jax.data import load, {module}
{module}.{function} = lambda *_, **__: os._exit(9)
load("cifar10", sys.argv[1], sys.argv[2])
"""
    for module, function in (
        ("from_archive", "_png"),
        ("archive", "digest"),
        ("cache", "swap_in"),
        ("cache", "mean_and_std"),
    ):
        result = python("-c", code.format(module=module, function=function), data, path)
        assert result.returncode == 9, result.stderr
        assert not list(data.glob("*/*/cifar_jax_cache"))
    assert prepare.main(["--archive", str(path), "--data_dir", str(data)]) == 0


def test_replaces_a_folder_that_is_no_prepared_set(archives, tmp_path):
    path = archives.make(tmp_path / "a.tar.gz", "cifar10-binary")
    (tmp_path / "data/cifar10/3.0.2/junk").mkdir(parents=True)
    assert prepare.main(["--archive", str(path), "--data_dir", str(tmp_path / "data")]) == 0
    assert not (tmp_path / "data/cifar10/3.0.2/junk").exists()


def test_runs_without_tensorflow(archives, tmp_path, python):
    path = archives.make(tmp_path / "a.tar.gz", "cifar10-python")
    code = """
import importlib.machinery, sys
finder, find = importlib.machinery.PathFinder, importlib.machinery.PathFinder.find_spec
def hide(cls, name, *rest):
    return None if name.split(".")[0] == "tensorflow" else find(name, *rest)
finder.find_spec = classmethod(hide)
from cifar_jax.data.prepare import main
sys.exit(main(["--archive", sys.argv[1], "--data_dir", sys.argv[2]]))
"""
    result = python("-c", code, path, tmp_path / "data")
    assert result.returncode == 0, result.stderr
    assert "Ready" in result.stdout


def test_command_line(python, tmp_path):
    result = python("-m", "cifar_jax.data.prepare", "--archive", tmp_path / "none.tar.gz")
    assert result.returncode == 2
    assert result.stderr.startswith("error: The archive") and "Traceback" not in result.stderr
    assert python("-m", "cifar_jax.data.prepare").returncode == 2
    text = python("-m", "cifar_jax.data.prepare", "--help")
    assert text.returncode == 0
    assert "cifar-100-python.tar.gz" in text.stdout


def test_a_race_is_won_by_one(tmp_path):
    """Two processes that decode at once: the second finds the first's cache in place."""
    final, new = tmp_path / "cifar_jax_cache", tmp_path / "scratch"
    for folder in (final, new):
        folder.mkdir()
        (folder / "manifest.json").touch()
    cache.swap_in(new, final, tmp_path / "old")
    assert final.is_dir() and not new.exists()
