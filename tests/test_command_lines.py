"""How every command line ends: wrong flags, Ctrl-C, and a reader that goes away."""

import errno
import os
import re
import subprocess
import sys

import pytest
from command_line import ROOT, run_here

from cifar_jax.console import commands, program

RUN = ("--workdir", "unused")
QUICKSTART = ROOT / "configs/quickstart.py"

# module -> (arguments that it takes, a function that it then calls).
COMMANDS = {
    "main": (("--config", str(QUICKSTART), *RUN), "train.train_and_evaluate"),
    "sweep.__main__": (
        ("--config", str(ROOT / "configs/sweeps/quickstart.py"), *RUN),
        "sweep.driver.train_sweep",
    ),
    "evaluate": (RUN, "trained.open_run"),
    "gradcam": (RUN, "trained.open_run"),
    "ood": ((*RUN, "--ood", "noise"), "trained.open_run"),
    "report": (("unused", "--out", "report.html"), "trained.open_run"),
    "predict": ((*RUN, "picture.png"), "trained.open_model"),
    "serve": ((*RUN, "--port", "0"), "trained.open_run"),
    "export": ((*RUN, "--out", "model.jaxexport"), "trained.open_model"),
    "weights": ((*RUN, "--target", "weights.npz"), "runs.reader.read_run"),
    "summary": ((), "models.names"),
    "experiments": ((), "config.load"),
    "reproduce": (("--list",), "config.load"),
    "plan": (
        ("--config", str(QUICKSTART), "--devices", "cpu:1"),
        "planning.planner.plan_or_advise",
    ),
    "data.prepare": (("--archive", "cifar-10-binary.tar.gz"), "data.archive.read"),
}
# Another process' half of writers.TensorBoard, which nobody types.
INTERNAL = {"runs.events"}

every_command = pytest.mark.parametrize("name", COMMANDS)


@pytest.fixture
def run(monkeypatch, tmp_path):
    """run_here in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return run_here


def test_every_command_line_is_tested():
    package = ROOT / "cifar_jax"
    modules = {
        ".".join(path.relative_to(package).with_suffix("").parts)
        for path in package.rglob("*.py")
        if '__name__ == "__main__"' in path.read_text()
    }
    assert modules == COMMANDS.keys() | INTERNAL
    assert set(commands.COMMANDS.values()) == COMMANDS.keys()


@every_command
def test_an_unknown_flag_is_refused(run, name, capsys):
    assert run(name, *COMMANDS[name][0], "--no_such_flag") == 2
    shown = capsys.readouterr().err
    assert shown.count("error: ") == 1 and "no_such_flag" in shown.splitlines()[-1]
    assert shown.startswith(("error: ", "usage: ")) and "Traceback" not in shown


@every_command
def test_ctrl_c_ends_it_without_a_traceback(run, name, capsys, monkeypatch):
    arguments, inside = COMMANDS[name]

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"cifar_jax.{inside}", interrupt)
    assert run(name, *arguments) == 130
    shown = capsys.readouterr().err
    assert shown.startswith("interrupted") and shown.count("\n") == 1
    assert ("goes on" in shown) == (name in ("main", "sweep.__main__", "reproduce"))


@every_command
def test_a_full_disk_is_one_line(run, name, capsys, monkeypatch):
    """The error of a write names no file."""
    arguments, inside = COMMANDS[name]

    def fail(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(f"cifar_jax.{inside}", fail)
    assert run(name, *arguments) == 4
    assert (
        capsys.readouterr().err
        == "error: a disk can't be written (No space left on device); see to it\n"
    )


@pytest.mark.thorough
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_nor_is_a_full_disk_that_it_prints_to_a_traceback():
    command = f"{sys.executable} -m cifar_jax.experiments > /dev/full"
    done = subprocess.run(command, shell=True, cwd=ROOT, text=True, capture_output=True)
    assert done.returncode == 4 and done.stderr.startswith(
        "error: a disk can't be written (No space"
    )
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("device", [True, False])
def test_too_little_memory_is_one_line(run, capsys, monkeypatch, device):
    """Of a device, as JAX says it, or of the machine, as NumPy does."""
    arguments, inside = COMMANDS["main"]

    def ask(*_, **__):
        import jax.numpy as jnp
        import numpy as np

        (jnp if device else np).ones(1 << 48, np.int8)

    monkeypatch.setattr(f"cifar_jax.{inside}", ask)
    assert run("main", *arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: out of memory (") and said.count("\n") == 1
    assert "281474976710656" in said
    advice = re.search(
        r"out of memory \(RES.*?\); (.*?), \.\.\.", (ROOT / "docs/questions.md").read_text()
    )
    assert f"); {advice[1]}, " in said


@every_command
def test_a_reader_that_goes_away_ends_it_quietly(run, name, capsys, monkeypatch):
    """As `| head -1` does."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert run(name, "--help") == 141
    assert not capsys.readouterr().err


@pytest.fixture
def script(monkeypatch, tmp_path):
    """(arguments) -> the exit code of `cifar-jax ARGUMENTS`, in this process."""

    def script(*arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(program, "_by_script", False)
        monkeypatch.setattr(sys, "argv", ["/bin/cifar-jax", *arguments])
        for module in commands.COMMANDS.values():
            monkeypatch.delitem(sys.modules, f"cifar_jax.{module}", raising=False)
        with pytest.raises(SystemExit) as ended:
            commands.main()
        return ended.value.code or 0

    return script


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_the_script_calls_each_command_by_its_name(script, name, capsys):
    assert script(name, "--help") == 0
    shown = capsys.readouterr().out
    assert f"cifar-jax {name}" in shown and "python -m" not in shown


def test_the_script_ends_as_the_module_does(script, capsys, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("cifar_jax.train.train_and_evaluate", interrupt)
    assert script("main", *COMMANDS["main"][0]) == 130
    assert capsys.readouterr().err.startswith("interrupted; the same command goes on")
    assert script("main", *COMMANDS["main"][0], "--lr=1") == 2
    assert "did you mean `--config.optimizer.learning_rate`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "no command is named; cifar-jax --help lists them"),
        (("evalute",), 2, "there is no command 'evalute'; did you mean `evaluate`?"),
        (("--version",), 0, "cifar-jax 0."),
    ],
)
def test_the_script_without_a_command(script, capsys, arguments, code, said):
    assert script(*arguments) == code
    assert said in "".join(capsys.readouterr())


def test_the_scripts_help_lists_every_command_and_imports_no_jax():
    program = (
        "import sys; sys.argv[1:] = ['--help']; from cifar_jax.console import commands\n"
        "try: commands.main()\nfinally: assert 'jax' not in sys.modules and 'numpy' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    named = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")]
    assert named == list(commands.COMMANDS)
