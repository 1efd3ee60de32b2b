"""The main job's command line: bad input, help, a machine without TensorFlow."""

import os
import subprocess
import sys
import textwrap

import pytest
from command_line import QUICK, ROOT, command, run_main
from metrics_file import rows

from cifar_jax import config as config_lib
from cifar_jax import main
from cifar_jax.console import endings


@pytest.mark.thorough
def test_without_tensorflow_all_but_events_works(tmp_path):
    # Python's finder, blind to TensorFlow: as on a machine that does not have it.
    blocker = """
        import sys
        class Blind:
            def __init__(self, finder):
                self.finder = finder
            def find_spec(self, name, path=None, target=None):
                return None if name == "tensorflow" else self.finder.find_spec(name, path, target)
        sys.meta_path[:] = [Blind(finder) for finder in sys.meta_path]
    """
    (tmp_path / "sitecustomize.py").write_text(textwrap.dedent(blocker))
    done = run_main(
        tmp_path / "run",
        *QUICK,
        "--config.tensorboard=true",
        PYTHONPATH=os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]),
    )
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if "no TensorBoard events" in line]
    assert len(said) == 1 and "tensorflow" in said[0]
    assert len(rows(tmp_path / "run", "validation")) == 2


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--config.total_epoch=3", "did you mean `total_epochs`?"),
        ("--config.batch_size=many", "batch_size"),
        ("--config.dataset.name=digit", "digits"),
        ("--config.model.name=basicnet", "basic_net"),
    ],
)
def test_bad_input_is_one_message_without_traceback(
    tmp_path, monkeypatch, capsys, argument, message
):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["main", *command(tmp_path / "run", argument)[3:]])
    with pytest.raises(SystemExit) as ended:
        endings.run(main.main)
    errors = capsys.readouterr().err
    assert ended.value.code == 2 and message in errors
    assert "Traceback" not in errors and not (tmp_path / "run").exists()


def test_help_lists_every_field():
    done = run_main("unused", "--help")
    assert done.returncode == 0
    assert all(f"--config.{name}=" in done.stdout for name in config_lib.fields())


def test_help_may_be_cut_short():
    """As by `| head -1`: the reader closes the pipe, and no traceback appears."""
    process = subprocess.Popen(
        command("unused", "--help"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait(timeout=60) == 141


def test_a_path_of_several_lines_is_told_in_one(capsys):
    def main():
        raise FileNotFoundError(2, "No such file", "a\nerror: fake\x1b[2J")

    assert endings.guarded(main)() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: can't use a\\nerror: fake\\x1b[2J") and line.isprintable()
