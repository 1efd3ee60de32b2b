"""CONTRIBUTING.md: its examples apply to the package as it is, and do what they say; the versions agree."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from command_line import ROOT

from cifar_jax import __version__

DIFFS = re.findall(r"^```diff\n(.*?)^```$", (ROOT / "CONTRIBUTING.md").read_text(), re.M | re.S)

# What the examples add, called.
CALLS = """
from cifar_jax import config, data, models
from cifar_jax.analysis.model import Evaluation
assert models.count_params("all_cnn") == models.lookup("all_cnn").num_params
settings = config.default()
settings.model.name, settings.dataset.name, settings.optimizer.name = "all_cnn", "textures", "lamb"
config.check(settings)
textures = data.load("textures")
assert textures.class_names == ("china", "flower") and textures.split("test")[0].shape == (104, 32, 32, 3)
pair = {"true": 0, "predicted": 1, "images": 3}
few = Evaluation(images=3, accuracy=0.5, per_class=[{"name": "a"}, {"name": "b"}], confused_pairs=[pair])
assert few.mistakes()._repr_png_()
"""


def apply_to(folder, *options):
    """`git apply`, which needs no repository, of all examples at once."""
    command = "git", "apply", *options
    done = subprocess.run(command, input="".join(DIFFS), cwd=folder, text=True, capture_output=True)
    assert done.returncode == 0, f"CONTRIBUTING.md has an example of another time:\n{done.stderr}"


def test_the_examples_apply():
    assert len(DIFFS) == 4
    apply_to(ROOT, "--check")


@pytest.mark.thorough
def test_the_examples_do_what_they_say(tmp_path):
    package = tmp_path / "package"
    leave = shutil.ignore_patterns("__pycache__", "pretrained")
    shutil.copytree(ROOT / "cifar_jax", package / "cifar_jax", ignore=leave)
    apply_to(package)
    environment = os.environ | {"PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1"}
    command = sys.executable, "-c", CALLS
    done = subprocess.run(command, cwd=package, env=environment, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    for check in (("check",), ("format", "--check")):
        command = sys.executable, "-m", "ruff", *check, "--config", ROOT / "pyproject.toml", "."
        done = subprocess.run(command, cwd=package, text=True, capture_output=True)
        assert done.returncode == 0, done.stdout


def test_the_version_is_written_alike():
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text()
    latest = re.search(r"^## (\S+), \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert latest[1] == __version__
