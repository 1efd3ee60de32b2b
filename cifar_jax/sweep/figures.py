"""Figures of a sweep: curves, a line for each cell, and bars of test accuracy beside the reported values."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from cifar_jax.analysis import statistics, style

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
    figure = style.new()
    axes, most, lines, names = figure.subplots(), 0, [], []
    for i, cell in enumerate(cells):
        mine = [row for row in rows if row["cell"] == cell]
        epochs, means, spread = curve(mine, column)
        if not len(epochs):
            continue
        runs = len({row["seed"] for row in mine})
        most = max(most, runs)
        line = style.line(i)
        means, spread = scale * means, scale * spread
        marker = "o" if len(epochs) == 1 else None
        lines += axes.plot(epochs, means, marker=marker, **line)
        names.append(style.words(cell, 2.2, 9))
        axes.fill_between(
            epochs, means - spread, means + spread, color=line["color"], alpha=0.15, linewidth=0
        )
    if not most:
        return None
    axes.set_xlabel("Epoch")
    axes.set_ylabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    style.plain(axes)
    title = "one run a cell" if most == 1 else f"mean ± standard deviation of up to {most} runs"
    # Matplotlib leaves out of a legend what begins with "_", as a name may: it gets them in its place.
    legend = figure.legend(
        lines, ["name"] * len(lines), loc="outside right upper", title=title.replace(" of", "\nof"), fontsize=9,
        title_fontsize=8, frameon=False, handlelength=3.2, ncols=-(-len(cells) // 24),
        alignment="left",
    )  # fmt: skip
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)
    return figure


def bars(accuracies, reported):
    """The cells' test accuracies beside the reported ones: means, their intervals, single runs.

    Args:
        accuracies: {cell: test accuracies in per cent of its runs}; a cell without any has no bar.
        reported: {cell: reported value or None}, in per cent.
    Returns:
        matplotlib.figure.Figure; None where no run has a result.
    """
    cells = list(accuracies)
    found = {
        i: statistics.estimate(accuracies[cell]) for i, cell in enumerate(cells) if accuracies[cell]
    }
    if not found:
        return None
    figure = style.new(7.2, 1.5 + 0.36 * len(cells))
    axes = figure.subplots()
    axes.barh(
        list(found), [each.mean for each in found.values()], height=0.7, color=style.COLOURS[5],
        label="mean of the runs",
    )  # fmt: skip
    several = {i: each for i, each in found.items() if each.n > 1}
    if several:
        axes.errorbar(
            [each.mean for each in several.values()], list(several),
            xerr=[each.high - each.mean for each in several.values()],
            fmt="none", color="black", capsize=3, elinewidth=1.1, label="95 % interval of the mean",
        )  # fmt: skip
    runs = [(value, i) for i in found for value in accuracies[cells[i]]]
    axes.plot(*zip(*runs, strict=True), "o", markersize=3, color="0.25", label="single runs")
    given = [(reported[cell], i) for i, cell in enumerate(cells) if reported[cell] is not None]
    if given:
        axes.plot(
            *zip(*given, strict=True), "D", markersize=6, color=style.COLOURS[1],
            markeredgecolor="black", markeredgewidth=0.6, label="reported",
        )  # fmt: skip
    axes.set_yticks(range(len(cells)), [style.words(each, 2.6, 9) for each in cells], fontsize=9)
    axes.set_ylim(len(cells) - 0.4, -0.6)  # the first cell on top
    axes.set_xlim(0, 100)
    axes.set_xlabel("Test accuracy, %")
    style.plain(axes)
    axes.grid(axis="y", visible=False)
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure


def write(folder, rows, cells):
    """Writes each of FIGURES as PNG and SVG; returns the paths."""
    paths = []
    for column in FIGURES:
        figure = draw(rows, cells, column)
        if figure is None:
            continue
        paths += style.save(figure, folder, column)
    return paths
