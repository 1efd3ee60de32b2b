"""What is printed at the end of a run."""

import datetime
import io
import json
import pathlib
import shlex

import pytest
from rich.console import Console

from cifar_jax.console import progress


def test_names_of_classes_are_printed_as_they_are(workdir):
    """... whatever they mean to Rich or to a terminal."""
    summary = json.loads((workdir / "summary.json").read_text())
    names = ["[/x]", "[red]", "a\x1b[2J", *map(str, range(7))]
    console = Console(file=io.StringIO(), width=100)
    progress.print_summary(console, summary, names)
    said = console.file.getvalue()
    assert "[/x]" in said and "[red]" in said and "\x1b[2J" not in said


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0.4 s"), (59, "59 s"), (61, "1 min 1 s"), (7800, "2 h 10 min"), (200_000, "2 d 7 h")],
)
def test_lengths_of_time(seconds, words):
    assert progress.duration(seconds) == words


def test_how_long_it_will_take():
    now = datetime.datetime(2026, 11, 29, 22, 0)
    said = progress.estimate(0.5, 3600, 120, 64, now)
    expected = "about 1 min 0 s an epoch, 30 min 0 s in all, until 22:30 (evaluations not counted)"
    assert said == f"128 images/s: {expected}"
    assert "until Mon 01:00" in progress.estimate(0.5, 21_600, 120, 64, now)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_is_told_that_a_training_may_be_stopped(terminal):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    progress.Display(10, 1, console).may_stop()
    assert console.file.getvalue().startswith("Ctrl-C saves and stops") == terminal


def test_the_next_commands_name_the_run(quick_config):
    folder = pathlib.Path("my runs/it's")
    said = progress.next_commands(folder, quick_config, {"stopped_early": ""})
    lines = (line.partition(":")[2] for line in said.splitlines())
    commands = [shlex.split(line) for line in lines if line.strip().startswith("python")]
    of_run = [command[2:] for command in commands if str(folder) in command]
    assert of_run == [
        ["cifar_jax.report", str(folder)],
        ["cifar_jax.predict", "--workdir", str(folder), "PICTURE"],
    ]


def test_a_count_is_a_bar_on_a_terminal_and_lines_elsewhere(monkeypatch, capsys):
    """On stderr; of what is soon done nothing is left."""
    with progress.counting("reading", 3) as advance:
        advance()
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(progress, "PLAIN_SECONDS", -1.0)
    with progress.counting("reading [b]", 3000) as advance:
        advance()
        advance(4000)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["reading [b]: 1 of 3,000", "reading [b]: 3,000 of 3,000"]
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress.counting("reading", 3) as advance:
        advance()
    printed, bar = capsys.readouterr()
    assert not printed and "reading" in bar and "33%" in bar
