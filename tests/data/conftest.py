"""Archives, and what is prepared from them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_archives import Archives

import cifar_jax


@pytest.fixture(scope="session")
def archives():
    return Archives()


@pytest.fixture(scope="session")
def python():
    """Run code in a new interpreter that can import cifar_jax; return the finished process."""

    def run(*arguments, **environment):
        root = str(Path(cifar_jax.__file__).parents[1])
        environment = {**os.environ, "PYTHONPATH": root, **environment}
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(command, env=environment, text=True, capture_output=True, timeout=120)

    return run


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """No test writes into the user's folders."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("xdg")))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)


@pytest.fixture(scope="session")
def prepared_once(tmp_path_factory, archives):
    """A data folder with a small prepared and cached cifar10, not to be changed."""
    from cifar_jax.data import load

    folder = tmp_path_factory.mktemp("prepared")
    path = archives.make(folder / "cifar-10-binary.tar.gz", "cifar10-binary")
    load("cifar10", folder, path, log=lambda line: None)
    return folder


@pytest.fixture
def prepared(prepared_once, tmp_path):
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(prepared_once, tmp_path / "prepared"))


def snapshot(folder):
    """All that is under a folder, hidden files included."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture(scope="session", name="snapshot")
def snapshot_fixture():
    return snapshot


@pytest.fixture
def log():
    """A `log` that keeps its lines."""

    class Lines(list):
        def __call__(self, line):
            assert "\n" not in line
            self.append(line)

    return Lines()
