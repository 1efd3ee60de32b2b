"""Windows has none of these modules: nothing of ours asks for one when it is imported."""

import subprocess
import sys

import pytest
from command_line import ROOT

PROGRAM = """
import importlib, pkgutil, sys
sys.modules.update(dict.fromkeys(("fcntl", "resource", "pwd", "grp", "termios")))
import cifar_jax
for module in pkgutil.walk_packages(cifar_jax.__path__, "cifar_jax."):
    importlib.import_module(module.name)
"""


@pytest.mark.thorough
def test_all_modules_are_imported_without_those_of_unix():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, text=True, stderr=subprocess.PIPE
    )
    assert done.returncode == 0, done.stderr
