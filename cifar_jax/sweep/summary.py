"""summary.md: each cell's result beside the reported one, and beside the baseline's."""

import shlex

from cifar_jax.analysis import statistics
from cifar_jax.console import program
from cifar_jax.console.tables import in_markdown


def markdown(sweep, reported, rows, about):
    """Write the summary as text.

    Args:
        sweep: cells.Sweep.
        reported: {cell: reported value or None}, in the units of the report.
        rows: of results.run_rows, all runs.
        about: lines that say how the runs were made: hardware, versions, data.
    Returns:
        str, Markdown.
    """
    selected = " and ".join(sorted({row["selected"] for row in rows}))
    if sweep.base.selection == "test":
        selected += ", chosen on these very images,"
    lines = [
        "# Results of the sweep",
        "",
        f"Test accuracy in per cent of the {selected} parameters of each run: mean, standard deviation, "
        "95 % Student t interval of the mean, and number of runs. A run that diverged has no result and is "
        "not in the mean.",
        "",
        "| cell | mean | std | 95 % interval | n | diverged | reported |",
        "|---|---|---|---|---|---|---|",
    ]
    results = {cell: accuracies(rows, cell) for cell in sweep.cells}
    for cell, by_seed in results.items():
        diverged = sum(row["cell"] == cell and row["status"] == "diverged" for row in rows)
        value = "" if reported[cell] is None else f"{reported[cell]:g}"
        figures = " | ".join(_estimate(list(by_seed.values())))
        name = f"{cell} (baseline)" if cell == sweep.baseline else cell
        lines.append(f"| {in_markdown(name)} | {figures} | {len(by_seed)} | {diverged} | {value} |")
    lines += ["", *_best(results), *_comparisons(sweep, results), "", *about, ""]
    return "\n".join(lines)


def accuracies(rows, cell):
    """Return {seed: test accuracy in per cent} of the runs of a cell that have a result."""
    return {
        row["seed"]: 100 * row["selected_test_accuracy"]
        for row in rows
        if row["cell"] == cell and row["selected_test_accuracy"] is not None
    }


def _estimate(values):
    if not values:
        return "-", "-", "-"
    estimate = statistics.estimate_percent(values)
    if estimate.n == 1:
        return f"{estimate.mean:.2f}", "-", "none: one run"
    return (
        f"{estimate.mean:.2f}",
        f"{estimate.std:.2f}",
        f"{estimate.low:.2f} to {estimate.high:.2f}",
    )


def best_cell(results):
    """Return the cell of the greatest mean; None where no run has a result.

    Args:
        results: {cell: of `accuracies`}.
    """
    means = {
        cell: statistics.estimate(list(each.values())).mean
        for cell, each in results.items()
        if each
    }
    return max(means, key=means.get, default=None)


def next_commands(folder, sweep, rows):
    """Return the lines that say where to look next: the best run of the best cell, and the files.

    Args:
        folder: of the sweep.
        sweep, rows: of `markdown`.
    """
    names = "summary.md, runs.csv, results.csv, test_accuracy.png, validation_accuracy.png, train_loss.png"
    lines = [f"Results:      {folder}/{names}"]
    cell = best_cell({cell: accuracies(rows, cell) for cell in sweep.cells})
    if cell is not None:
        tested = [row for row in rows if row["cell"] == cell and row["folder"]]
        best = max(tested, key=lambda row: row["selected_test_accuracy"])
        lines.append(f"Each run:     {folder}/runs, the folders that runs.csv names")
        run = shlex.quote(f"{folder}/{best['folder']}")
        lines.append(
            program.as_called(f"Best run:     python -m cifar_jax.evaluate --workdir {run}")
        )
    return "\n".join(lines)


def _best(results):
    """Name the best cell: lines; none where there is nothing to choose from."""
    count = sum(map(bool, results.values()))
    if count < 2:
        return []
    cell = best_cell(results)
    mean, _, interval = _estimate(list(results[cell].values()))
    return [
        f"Best of {count} cells: {in_markdown(cell)}, {mean} % (95 % interval {interval}). It was chosen by these "
        "very figures, and so they are optimistic.",
        "",
    ]


def _comparisons(sweep, results):
    """Compare every cell with the baseline by pairs of runs: lines."""
    baseline, compared = results[sweep.baseline], {}
    for cell, by_seed in results.items():
        seeds = sorted(by_seed.keys() & baseline.keys())
        if cell != sweep.baseline and seeds:
            compared[cell] = statistics.compare(
                [by_seed[seed] for seed in seeds], [baseline[seed] for seed in seeds]
            )
    lines = [f"## Against {in_markdown(sweep.baseline)}", ""]
    tested = {cell: each.p for cell, each in compared.items() if each.p is not None}
    if not tested:
        return [*lines, "No comparison: it takes two runs of the same seeds in both cells."]
    corrected = dict(zip(tested, statistics.holm(list(tested.values())), strict=True))
    lines += [
        "Differences between runs of the same seed, in percentage points; two-sided paired t test, "
        f"p corrected by Holm for {len(tested)} comparison{'s' * (len(tested) > 1)}.",
        "",
        "| cell | mean difference | 95 % interval | pairs | p | p (Holm) |",
        "|---|---|---|---|---|---|",
    ]
    for cell, p in tested.items():
        change = statistics.within(compared[cell].difference, -100.0, 100.0)
        lines.append(
            f"| {in_markdown(cell)} | {change.mean:+.2f} | {change.low:+.2f} to {change.high:+.2f} | {change.n} "
            f"| {p:.3g} | {corrected[cell]:.3g} |"
        )
    return lines
