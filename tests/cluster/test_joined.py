"""Joining, taking turns and ending, without a training: small programs in processes of their own."""

import signal
import subprocess
import sys
import textwrap

import pytest
from command_line import free_port

from cifar_jax.errors import LostProcess

JOIN = """
    import os, pathlib, platform, signal, sys
    from cifar_jax.console import endings
    from cifar_jax.machine import joining, places, processes
    from cifar_jax.errors import UserError

    address, process, folder = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3])
    joining.JOIN_SECONDS = 2 if process == 9 else 60
    joining.GOODBYE_SECONDS, joining.LINGER_SECONDS, joining.HEARTBEAT_SECONDS = 1, 1, 6
"""
TURNS = """
    host = "ab"[min(process, 1)]
    platform.node = lambda: host

    def prepare():
        disk = folder / host
        if disk.exists():
            return f"found {disk.read_text()}"
        disk.write_text(f"what {process} made")
        return "made"

    def main(_):
        with joining.joined(places.Place(address, 3, process)):
            (folder / f"turn{process}").write_text(processes.in_turns(prepare))
            if process == 2:
                raise UserError("an error of its own")
            processes.of_first(1)

    endings.run(main)
"""
MISSED = """
    with joining.joined(places.Place(address, 10, process)):
        pass
"""
SAME = """
    def main(_):
        with joining.joined(places.Place(address, 2, process)):
            raise UserError(f"said by {process}")

    endings.run(main)
"""
SILENT = """
    def main(_):
        with joining.joined(places.Place(address, 3, process)):
            while True:
                processes.of_first(1)
                if process == {silent}:
                    os.kill(os.getpid(), signal.{number})

    endings.run(main)
"""


def run(program, folder, processes, stopped=()):
    """Runs a program in processes of such numbers, of which some stop; returns their exit codes and errors."""
    code = textwrap.dedent(JOIN) + textwrap.dedent(program)
    address = f"127.0.0.1:{free_port()}"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, address, str(process), str(folder)],
            stderr=subprocess.PIPE,
            text=True,
        )
        for process in processes
    ]
    for process in set(processes) - set(stopped):
        started[processes.index(process)].wait(timeout=60)
    for process in stopped:
        started[process].kill()
    errors = [process.communicate(timeout=60)[1] for process in started]
    return [process.returncode for process in started], errors


@pytest.mark.thorough
def test_a_host_prepares_once_and_an_error_of_one_process_ends_all(tmp_path):
    codes, errors = run(TURNS, tmp_path, range(3))
    turns = [(tmp_path / f"turn{process}").read_text() for process in range(3)]
    assert turns == ["made", "made", "found what 1 made"]
    assert codes == [LostProcess.exit_code] * 2 + [2], errors
    assert errors[2] == "error: an error of its own\n"
    for process in range(2):
        assert f"process {process} of 3 lost another one" in errors[process]


@pytest.mark.thorough
def test_an_error_that_all_meet_is_told_by_each(tmp_path):
    codes, errors = run(SAME, tmp_path, range(2))
    assert codes == [2, 2]
    assert errors == [f"error: said by {process}\n" for process in range(2)]


@pytest.mark.thorough
def test_a_process_that_finds_nobody_says_where_it_looked(tmp_path):
    codes, errors = run(MISSED, tmp_path, [9])
    assert codes[0] != 0
    last = errors[0].splitlines()[-1]
    assert last.startswith("error: process 9 of 10 could not join at 127.0.0.1:")


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("silent", "number"),
    [(0, signal.SIGKILL), (1, signal.SIGSTOP)],
    ids=["process_0_killed", "process_1_stopped"],
)
def test_a_process_that_falls_silent_ends_the_others(tmp_path, silent, number):
    """JAX's own check may come first: it aborts the process, and the last line is ours all the same."""
    program = SILENT.format(silent=silent, number=number.name)
    stopped = [silent] if number == signal.SIGSTOP else []
    codes, errors = run(program, tmp_path, range(3), stopped)
    for process in {0, 1, 2} - {silent}:
        last = errors[process].splitlines()[-1]
        if codes[process] == LostProcess.exit_code:
            assert "lost another one" in errors[process]
        else:
            assert codes[process] == -signal.SIGABRT
            assert last.startswith(f"error: process {process} of 3 ended without a word")
