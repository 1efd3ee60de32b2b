"""The package as others get it: a wheel, out of a source distribution, away from the checkout."""

import os
import shutil
import subprocess
import sys
import tarfile

import pytest
from command_line import QUICK, ROOT

from cifar_jax import __version__
from cifar_jax.machine import huge_pages

BUILD = "import sys, setuptools.build_meta as made; print(getattr(made, sys.argv[1])(sys.argv[2]))"


# As anyone would look for the configs, from Python, where there is no checkout.
LOOK = """
import sys, cifar_jax
from cifar_jax import config
from cifar_jax.config import experiments
from cifar_jax.errors import UserError
from cifar_jax.models import box
from cifar_jax.sweep import cells
assert cifar_jax.__file__.startswith(sys.argv[1]), cifar_jax.__file__
try:
    experiments.check_checkout()
except UserError as error:
    assert "pip install -e ." in str(error)
else:
    raise AssertionError("this is no checkout")
print(config.load("wide_net:gap").model.name, len(cells.load("quickstart").cells), *box.names())
"""


def done(arguments, cwd, **environment):
    """Runs a process, without the tests' settings for speed, and returns what it prints; it must end well."""
    usual = {
        name: value
        for name, value in os.environ.items()
        if name not in (huge_pages.SWITCH, huge_pages.TUNABLES, "PYTHONPATH")
    }
    ended = subprocess.run(
        arguments, cwd=cwd, env=usual | environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.thorough
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no checkout")
def test_a_wheel_of_a_source_distribution_trains_the_quickstart(tmp_path):
    source, built, installed, elsewhere = (
        tmp_path / name for name in ("source", "built", "installed", "elsewhere")
    )
    listed = done(["git", "ls-files", "-co", "--exclude-standard"], ROOT).splitlines()
    files = [each for each in listed if (ROOT / each).exists()]
    for each in files:
        (source / each).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / each, source / each)
    built.mkdir()
    elsewhere.mkdir()
    done([sys.executable, "-c", BUILD, "build_sdist", built], source)
    (packed,) = built.glob("*.tar.gz")
    with tarfile.open(packed) as archive:
        archive.extractall(tmp_path, filter="data")
    unpacked = tmp_path / f"cifar_jax-{__version__}"
    assert not [each for each in files if not (unpacked / each).is_file()]

    done([sys.executable, "-c", BUILD, "build_wheel", built], unpacked)
    (wheel,) = built.glob("*.whl")
    alone = "--no-deps", "--no-index", "--target"
    done([sys.executable, "-m", "pip", "install", "-q", *alone, installed, wheel], tmp_path)
    assert (installed / "cifar_jax/py.typed").is_file()
    there = {"PYTHONPATH": str(installed)}
    said = done([sys.executable, "-c", LOOK, installed], elsewhere, **there)
    assert said == "gap_net 3 speedrun\n"

    script = sys.executable, installed / "bin/cifar-jax"
    quick = "--config", "quickstart", "--workdir", "run", "--verbose", *QUICK
    said = done([*script, "main", *quick], elsewhere, **there)
    settings = huge_pages.settings({}, huge_pages.machine_has_use())  # by a start of itself anew
    assert said.startswith(huge_pages.remark(settings))
    assert "cifar-jax main --help" in said and (elsewhere / "run/summary.json").is_file()
