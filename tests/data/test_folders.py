"""Where data sets are looked for."""

import os
import pathlib
import shutil

import pytest

from cifar_jax.data import folders, load
from cifar_jax.errors import UserError


def test_newest_version_wins(prepared, log):
    shutil.copytree(prepared / "cifar10/3.0.2", prepared / "cifar10/3.0.10")
    (prepared / "cifar10/not.a.version").mkdir()
    assert folders.find(prepared, "cifar10").number == "3.0.10"
    assert folders.find(prepared, "cifar10:3.0.2").number == "3.0.2"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_writable_sees_permissions(tmp_path):
    tmp_path.chmod(0o500)
    assert not folders.writable(tmp_path)
    assert not folders.writable(tmp_path / "new" / "folder")


def test_a_file_is_no_data_dir(tmp_path):
    (tmp_path / "file").touch()
    assert not folders.writable(tmp_path / "file" / "x")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no /proc")
def test_writable_is_tried():
    """Permissions tell root that it may write, also where nothing can be made."""
    assert not folders.writable(pathlib.Path("/proc"))
    assert not folders.writable(pathlib.Path("/proc/new/folder"))


def test_writable_leaves_nothing(tmp_path):
    assert folders.writable(tmp_path) and folders.writable(tmp_path / "new")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_text_has_a_stand_in(tmp_path):
    names = [tmp_path / os.fsdecode(name) for name in (b"\xff", b"\xfe")]
    assert len({folders.fallback_root(name) for name in names}) == 2
    assert all(folders.find(name, "cifar10") is None for name in names)


def test_urls_are_refused():
    with pytest.raises(UserError, match="is a URL"):
        load("cifar10", "gs://bucket/data")
