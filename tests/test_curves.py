"""The curves at the end of a training, in a terminal."""

import io
import math

import pytest
from rich.console import Console

from cifar_jax.console import curves


def rows(losses, split="validation"):
    """Rows of metrics.jsonl; the accuracy rises by 10 points an epoch."""
    return [
        {"split": split, "step": 40 * epoch, "epoch": epoch, "loss": loss, "accuracy": epoch / 10}
        for epoch, loss in enumerate(losses, start=1)
    ]


@pytest.mark.parametrize(
    ("points", "drawn"),
    [
        ([(1, 0), (2, 1)], ["⣀⠤⠒⠉"]),
        ([(1, 2), (2, 1), (8, 0)], ["⠣⠤⢄⣀"]),
        ([(i, float(i >= 500)) for i in range(1000)], ["⣀⣠⠋⠉"]),
        ([(1, 0), (2, 1), (3, 0)], ["⡠⠒⠑⢄"]),
        ([(1, 7), (2, 7)], ["⠤⠤⠤⠤"]),
        ([(1, 3)], ["  ⠄ "]),
        ([(1, 0), (2, math.nan), (3, math.inf), (8, 1)], ["⡀  ⠈"]),
        ([(1, 0), (2, 1), (3, math.nan)], ["⡠⠒⠁ "]),
        ([(1, math.nan), (2, math.inf)], ["    "]),
    ],
    ids=["line", "by x", "many", "peak", "constant", "one", "gap", "end", "none"],
)
def test_a_curve(points, drawn):
    assert curves.curve(points, 4, 1) == drawn


def test_side_by_side_with_their_ends():
    assert curves.of_rows(rows([2.0, 1.0, 0.123456]), "validation", 200) == [
        "validation accuracy, %          validation loss, nats",
        "30.0                  ⢀⣀⠤⠔⠒⠉        2 ⠉⠒⠢⢄⣀",
        "                 ⣀⡠⠤⠒⠊⠁                    ⠉⠑⠒⠤⣀⡀",
        "          ⢀⣀⡠⠤⠒⠊⠉                               ⠈⠉⠒⠢⠤⣀⡀",
        "10.0 ⣀⠤⠔⠒⠉⠁                     0.123                 ⠈⠉⠒⠢⠤⣀",
        "     1                     3          1                    3",
    ]


@pytest.mark.parametrize("width", [20, 23, 24, 40, 51, 52, 60, 300])
def test_they_fit(width):
    """One below the other where there is no room, and none in a column of few cells."""
    lines = curves.of_rows(rows([12345.678, 0.001, 2.5]), "validation", width)
    assert len(lines) == (0 if width < 24 else 12 if width < 52 else 6)
    assert all(len(line) <= min(width, 60) for line in lines)


@pytest.mark.parametrize(
    ("given", "selection", "title"),
    [
        (rows([3.0, 2.0]), "test", "test accuracy, %"),
        (rows([3.0, 2.0], "train_epoch"), "last", "training accuracy, %"),
        (rows([3.0]) + rows([3.0, 2.0], "train_epoch"), "last", "training accuracy, %"),
        (rows([3.0]), "validation", None),
        (rows([3.0, math.nan]), "validation", None),
        ([{"split": "validation", "step": 1, "loss": 1.0}] * 2, "validation", None),
        ([], "validation", None),
    ],
    ids=["on test", "no validation", "one epoch of it", "one epoch", "nan", "no epochs", "none"],
)
def test_what_they_are_of(given, selection, title):
    lines = curves.of_rows(given, selection, 60)
    assert (lines[0].split("   ")[0] if lines else None) == title


@pytest.mark.parametrize(
    ("terminal", "encoding", "lines"), [(True, "utf-8", 8), (False, "utf-8", 0), (True, "ascii", 0)]
)
def test_logs_stay_quiet(terminal, encoding, lines):
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=file, force_terminal=terminal, width=80)
    curves.show(console, rows([2.0, 1.0]), "validation")
    file.seek(0)
    assert len(file.readlines()) == lines
