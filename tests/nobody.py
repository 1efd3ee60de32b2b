"""A user without a home, whom nobody knows: user 12345 of a container."""

import functools
import os
import shutil
import subprocess
import sys

import forked
import pytest
from command_line import ROOT
from xla import quick_flags

NUMBER = 12345


def run_as_nobody(name, *arguments, cwd, temporary, fork=True, **environment):
    """Runs `python -m cifar_jax.NAME ARGUMENTS` with nothing in the environment but what is given.

    What belongs to the user of the tests belongs to that one, who is not root, too.

    Its programs are compiled anew each time, and so quickly.

    Args:
        cwd: folder.
        temporary: folder for temporary files.
        fork: of a process that has imported what tests/forked.py says, with the home of the tests.
    Returns:
        CompletedProcess with text output.
    """
    if fork:
        command, given = _as_nobody(name, arguments, temporary, environment)
        return forked.run(command, cwd, given, user=NUMBER)
    process = start_as_nobody(name, *arguments, cwd=cwd, temporary=temporary, **environment)
    stdout, stderr = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def start_as_nobody(name, *arguments, cwd, temporary, **environment):
    """Starts what `run_as_nobody` runs, in a process of its own: Popen with text output."""
    command, given = _as_nobody(name, arguments, temporary, environment)
    return subprocess.Popen(
        [*UNSHARE, *command],
        cwd=cwd,
        env=given,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _as_nobody(name, arguments, temporary, environment):
    """(command, environment variables)."""
    if not possible():
        pytest.skip("user namespaces are not to be had here")
    given = {"PATH": os.environ["PATH"], "PYTHONPATH": ROOT, "TMPDIR": temporary}
    given |= {"CIFAR_JAX_TUNING": "off", "XLA_FLAGS": quick_flags(0)} | environment
    command = [sys.executable, "-m", f"cifar_jax.{name}", *map(str, arguments)]
    return command, {key: str(value) for key, value in given.items()}


UNSHARE = ("unshare", "--user", f"--map-user={NUMBER}")


@functools.cache
def possible():
    """Whether this machine lets a process be another user."""
    if not shutil.which("unshare"):
        return False
    probe = "import os, pwd, sys; sys.exit(os.getuid() != 12345)"
    return not subprocess.run(
        [*UNSHARE, sys.executable, "-c", probe], capture_output=True
    ).returncode
