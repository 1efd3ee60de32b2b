"""Curves of a sweep: a line for each cell, mean over its runs, with a band of one standard deviation."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Okabe and Ito, Color Universal Design, 2008, without the yellow, which paper swallows. Colours and
# line styles have lengths without a common factor, so no pair returns before the 28th cell.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
STYLES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))

FIGURES = {
    "validation_accuracy": ("Validation accuracy, %", 100),
    "train_loss": ("Training loss, nats", 1),
}


def curve(rows, column):
    """Mean and deviation of a column against the epoch, over the runs of one cell that have a value.

    Args:
        rows: of results.epoch_rows, of one cell.
    Returns:
        (epochs, means, standard deviations; 0 for a single run): arrays.
    """
    by_epoch = {}
    for row in rows:
        if row[column] is not None:
            by_epoch.setdefault(row["epoch"], []).append(row[column])
    epochs = sorted(by_epoch)
    spread = [np.std(by_epoch[e], ddof=1) if len(by_epoch[e]) > 1 else 0.0 for e in epochs]
    return np.array(epochs), np.array([np.mean(by_epoch[e]) for e in epochs]), np.array(spread)


def draw(rows, cells, column):
    """A figure of one column of results.csv against the epoch.

    Args:
        rows: of results.epoch_rows, all runs.
        cells: names, in the order of the legend.
        column: of FIGURES.
    Returns:
        matplotlib.figure.Figure; None where no run has a value.
    """
    label, scale = FIGURES[column]
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes, most = figure.subplots(), 0
    for i, cell in enumerate(cells):
        mine = [row for row in rows if row["cell"] == cell]
        epochs, means, spread = curve(mine, column)
        if not len(epochs):
            continue
        runs = len({row["seed"] for row in mine})
        most = max(most, runs)
        colour, style = COLOURS[i % len(COLOURS)], STYLES[i % len(STYLES)]
        means, spread = scale * means, scale * spread
        marker = "o" if len(epochs) == 1 else None
        axes.plot(
            epochs, means, color=colour, linestyle=style, linewidth=1.8, marker=marker, label=cell
        )
        axes.fill_between(
            epochs, means - spread, means + spread, color=colour, alpha=0.15, linewidth=0
        )
    if not most:
        return None
    axes.set_xlabel("Epoch")
    axes.set_ylabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    title = "one run a cell" if most == 1 else f"mean ± standard deviation of up to {most} runs"
    figure.legend(
        loc="outside right upper", title=title.replace(" of", "\nof"), fontsize=9,
        title_fontsize=8, frameon=False, handlelength=3.2, ncols=-(-len(cells) // 24),
        alignment="left",
    )  # fmt: skip
    return figure


def write(folder, rows, cells):
    """Writes each of FIGURES as PNG and SVG; returns the paths."""
    paths = []
    for column in FIGURES:
        figure = draw(rows, cells, column)
        if figure is None:
            continue
        for suffix in ("png", "svg"):
            paths.append(folder / f"{column}.{suffix}")
            figure.savefig(paths[-1], dpi=160)
    return paths
