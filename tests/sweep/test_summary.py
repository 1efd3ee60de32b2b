"""The tables and figures at the end: what stands in them, and that they can be told apart."""

import json
import pathlib
import shlex

import numpy as np
import pytest

from cifar_jax.config import default
from cifar_jax.sweep import Sweep, figures, results, summary


def row(cell, seed, accuracy):
    status = "finished" if accuracy is not None else "diverged"
    given = {"cell": cell, "seed": seed, "status": status, "selected": "best"}
    given |= {"selected_test_accuracy": accuracy}
    given |= {"folder": None if accuracy is None else f"runs/{cell}-{seed}"}
    return dict.fromkeys(results.RUN_COLUMNS) | given


def test_the_summary_says_means_intervals_and_comparisons():
    cells = {"base": {}, "better": {}, "partly": {}}
    accuracies = {
        "base": [0.7, 0.72, 0.71],
        "better": [0.75, 0.76, 0.77],
        "partly": [None, 0.5, 0.6],
    }
    rows = [row(cell, seed, x) for cell, of in accuracies.items() for seed, x in enumerate(of)]
    reported = {"base": 71.2, "better": None, "partly": 65.21}
    text = summary.markdown(Sweep(default(), cells, "base"), reported, rows, ["On some machine."])
    # t(2) = 4.302653: 71 +- 4.302653 / sqrt(3).
    assert "| base (baseline) | 71.00 | 1.00 | 68.52 to 73.48 | 3 | 0 | 71.2 |" in text
    assert "| partly | 55.00 | 7.07 | 0.00 to 100.00 | 2 | 1 | 65.21 |" in text
    assert "| better | +5.00 | +2.52 to +7.48 | 3 | 0.0131 | 0.0261 |" in text
    # t(1) = 12.7062: -16.5 +- 12.7062 * 7.7782 / sqrt(2).
    assert "| partly | -16.50 | -86.38 to +53.38 | 2 |" in text and "Holm for 2 comparisons" in text
    best = "Best of 3 cells: better, 76.00 % (95 % interval 73.52 to 78.48). It was chosen by these"
    assert best in text and text.rstrip().endswith("On some machine.")


def test_no_interval_leaves_what_can_be():
    rows = [row("base", seed, x) for seed, x in enumerate((0.001, 0.9))]
    rows += [row("other", seed, x) for seed, x in enumerate((0.95, 0.999))]
    text = summary.markdown(
        Sweep(default(), {"base": {}, "other": {}}, "base"), {"base": None, "other": None}, rows, []
    )
    assert "| base (baseline) | 45.05 | 63.57 | 0.00 to 100.00 | 2 |" in text
    assert "(95 % interval 66.32 to 100.00)" in text and "| -100.00 to +100.00 | 2 |" in text


def test_the_end_names_the_best_run_of_the_best_cell():
    """Not the best run of all, which is one of the worse cell."""
    rows = [row("worse", seed, x) for seed, x in enumerate((0.99, 0.1, None))]
    rows += [row("best", seed, x) for seed, x in enumerate((0.7, 0.9, 0.8))]
    sweep = Sweep(default(), {"worse": {}, "best": {}}, "worse")
    said = summary.next_commands(pathlib.Path("my runs/it's"), sweep, rows).splitlines()
    command = said[2].partition(":")[2].strip()
    assert shlex.split(command) == [
        *("python", "-m", "cifar_jax.evaluate", "--workdir", "my runs/it's/runs/best-1")
    ]
    assert "my runs/it's/summary.md, runs.csv, results.csv" in said[0]
    assert len(said) == 3 and "my runs/it's/runs" in said[1]
    none = [row("worse", 0, None), row("best", 0, None)]
    assert "evaluate" not in summary.next_commands(pathlib.Path("x"), sweep, none)


def test_one_cell_is_not_the_best_of_any():
    rows = [row("base", seed, 0.7) for seed in range(2)]
    assert "Best of" not in summary.markdown(
        Sweep(default(), {"base": {}}, "base"), {"base": None}, rows, []
    )


def epoch(cell, seed, number, value):
    return {"cell": cell, "seed": seed, "epoch": number, "train_loss": value}


def test_a_curve_is_mean_and_deviation_of_the_runs_that_have_a_value():
    rows = [epoch("a", 0, 1, 2.0), epoch("a", 1, 1, 4.0), epoch("a", 0, 2, 1.0)]
    rows.append(epoch("a", 1, 2, None))
    epochs, means, spread = figures.curve(rows, "train_loss")
    assert epochs.tolist() == [1, 2] and means.tolist() == [3.0, 1.0]
    assert spread.tolist() == [pytest.approx(np.sqrt(2)), 0.0]


def test_a_cell_is_a_line():
    cells = [f"cell {i}" for i in range(12)]
    rows = [epoch(cell, 0, n, i + n) for i, cell in enumerate(cells) for n in (1, 2)]
    chart = figures.draw(rows, cells, "train_loss").to_dict()
    values = chart["data"]["values"]
    assert {each["i"] for each in values} == set(range(12)) and len(values) == 24
    line = chart["layer"][1]["encoding"]
    assert line["color"]["scale"]["domain"] == list(range(12))
    assert json.dumps(cells) in line["color"]["legend"]["labelExpr"]
    assert figures.draw([], cells, "train_loss") is None


def test_bars_are_means_with_intervals_beside_the_reported_values():
    accuracies = {"base": [70.0, 72.0, 71.0], "once": [60.0], "diverged": []}
    reported = {"base": 71.2, "once": None, "diverged": 65.21}
    chart = figures.bars(accuracies, reported).to_dict()
    means, several, runs, given, _ = (layer["data"]["values"] for layer in chart["layer"])
    assert [each["accuracy"] for each in means] == [71, 60]
    runs, given = ([[each["accuracy"], each["i"]] for each in rows] for rows in (runs, given))
    assert runs == [[70, 0], [72, 0], [71, 0], [60, 1]] and given == [[71.2, 0], [65.21, 2]]
    (interval,) = several  # t(2) = 4.302653
    ends = 71 + np.array([-1, 1]) * 4.302653 / np.sqrt(3)
    np.testing.assert_allclose([interval["low"], interval["high"]], ends, rtol=1e-6)
    assert figures.bars({"diverged": []}, {"diverged": None}) is None
