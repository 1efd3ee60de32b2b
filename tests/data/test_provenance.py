"""A set made from one archive is never taken for another's."""

import json

import pytest

from cifar_jax.data import cache, from_archive, load
from cifar_jax.errors import DataError

CACHE = "cifar10/3.0.2/cifar_jax_cache"


def test_archive_of_the_set_on_disk(prepared_once, log):
    load("cifar10", prepared_once, prepared_once / "cifar-10-binary.tar.gz", log)
    assert log == []


@pytest.mark.parametrize("only_cache", [False, True])
def test_another_archive_is_refused(archives, prepared, tmp_path, only_cache, log):
    other = archives.make(tmp_path / "b.tar.gz", "cifar10-binary", 5)
    if only_cache:
        (prepared / "cifar10/3.0.2/dataset_info.json").unlink()
    with pytest.raises(DataError, match="was not made from .*b.tar.gz"):
        load("cifar10", prepared, other, log)


def test_a_set_without_a_note_is_the_official_download(archives, prepared, log, monkeypatch):
    path = prepared / "cifar-10-binary.tar.gz"
    (prepared / "cifar10/3.0.2" / from_archive.NOTE).unlink()
    with pytest.raises(DataError, match="was not made from"):
        load("cifar10", prepared, path, log)
    digest = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
    monkeypatch.setattr(from_archive.archives, "digest", lambda *_: digest)
    load("cifar10", prepared, path, log)


@pytest.mark.parametrize(
    "name, match", [("mnist", "not made from a CIFAR archive"), ("cifar100", "holds cifar10, not")]
)
def test_archive_of_another_set(archives, tmp_path, name, match, log):
    path = archives.make(tmp_path / "a.tar.gz", "cifar10-binary")
    with pytest.raises(DataError, match=match):
        load(name, tmp_path / "data", path, log)
    assert not (tmp_path / "data").exists()


def test_manifest_names_its_source(prepared_once):
    content = json.loads((prepared_once / CACHE / "manifest.json").read_text())["content"]
    archive = from_archive.archives.digest(prepared_once / "cifar-10-binary.tar.gz")
    assert content["source"]["archive"] == archive
    assert content["source"]["version"] == "3.0.2"
    assert content["format"] == cache.FORMAT
