"""Where data sets are looked for."""

import os
import shutil

import pytest

from cifar_jax.data import folders, load
from cifar_jax.errors import UserError


def test_newest_version_wins(prepared, log):
    shutil.copytree(prepared / "cifar10/3.0.2", prepared / "cifar10/3.0.10")
    (prepared / "cifar10/not.a.version").mkdir()
    assert folders.find(prepared, "cifar10").version == "3.0.10"
    assert folders.find(prepared, "cifar10:3.0.2").version == "3.0.2"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_writable_sees_permissions(tmp_path):
    tmp_path.chmod(0o500)
    assert not folders.writable(tmp_path)
    assert not folders.writable(tmp_path / "new" / "folder")


def test_a_file_is_no_data_dir(tmp_path):
    (tmp_path / "file").touch()
    assert not folders.writable(tmp_path / "file" / "x")


def test_urls_are_refused():
    with pytest.raises(UserError, match="is a URL"):
        load("cifar10", "gs://bucket/data")
