"""Figures of a sweep: curves, a line for each cell, and bars of test accuracy beside the reported values."""

import numpy as np

from cifar_jax.analysis import statistics, style
from cifar_jax.analysis.charts import vega
from cifar_jax.analysis.charts.vega import alt

FIGURES = {
    "validation_accuracy": ("Validation accuracy, %", 100),
    "train_loss": ("Training loss, nats", 1),
}


def curve(rows, column):
    """Return mean and deviation of a column against the epoch, over the runs of one cell that have a value.

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
    """Draw one column of results.csv against the epoch.

    Args:
        rows: of results.epoch_rows, all runs.
        cells: names, in the order of the key.
        column: of FIGURES.
    Returns:
        altair.Chart; None where no run has a value.
    """
    label, scale = FIGURES[column]
    values, names, most = [], [], 0
    for i, cell in enumerate(cells):
        own = [row for row in rows if row["cell"] == cell]
        epochs, means, spread = (each.tolist() for each in curve(own, column))
        names.append(style.shortened(cell, 2.6, 10))
        most = max(most, len({row["seed"] for row in own}) if epochs else 0)
        for epoch, mean, deviation in zip(epochs, means, spread, strict=True):
            ends = {"low": scale * (mean - deviation), "high": scale * (mean + deviation)}
            values.append({"i": i, "epoch": epoch, "value": scale * mean} | ends)
    if not most:
        return None
    numbers = list(range(len(cells)))
    title = ["mean ± standard deviation", f"of up to {most} runs"] if most > 1 else "one run a cell"
    key = {
        "legend": alt.Legend(
            title=title, symbolOpacity=1, labelExpr=vega.names_of(names), symbolType="stroke",
            columns=-(-len(cells) // 24), values=sorted({each["i"] for each in values}),
        )
    }  # fmt: skip
    colours = alt.Scale(domain=numbers, range=[vega.colour(i) for i in numbers])
    dashes = alt.Scale(domain=numbers, range=[vega.DASHES[i % len(vega.DASHES)] for i in numbers])
    axis = alt.Axis(title="Epoch", grid=False, tickMinStep=1, format="d")
    base = vega.chart(values).encode(
        x=alt.X("epoch:Q", axis=axis, scale=alt.Scale(zero=False, nice=False)),
        color=alt.Color("i:O", scale=colours, **key),
    )
    y = alt.Y("value:Q", axis=alt.Axis(title=label), scale=alt.Scale(zero=False))
    band = base.mark_area(opacity=0.15).encode(y=alt.Y("low:Q"), y2="high:Q")
    line = base.mark_line(strokeWidth=1.8, point=len({each["epoch"] for each in values}) == 1)
    line = line.encode(y=y, strokeDash=alt.StrokeDash("i:O", scale=dashes, **key))
    return alt.layer(band, line).properties(width=400, height=260)


def bars(accuracies, reported):
    """Draw the cells' test accuracies beside the reported ones: means, their intervals, single runs.

    Args:
        accuracies: {cell: test accuracies in per cent of its runs}; a cell without any has no bar.
        reported: {cell: reported value or None}, in per cent.
    Returns:
        altair.Chart; None where no run has a result.
    """
    cells = list(accuracies)
    means, runs, given = [], [], []
    for i, cell in enumerate(cells):
        runs += [{"i": i, "accuracy": each} for each in accuracies[cell]]
        given += [{"i": i, "accuracy": reported[cell]}] if reported[cell] is not None else []
        if accuracies[cell]:
            mean = statistics.estimate_percent(accuracies[cell])
            ends = {"low": mean.low, "high": mean.high} if mean.n > 1 else {}
            means.append({"i": i, "accuracy": mean.mean} | ends)
    if not means:
        return None
    names = vega.names_of(style.shortened(cell, 3, 11) for cell in cells)
    axis = alt.Axis(title=None, domain=False, labelExpr=names, labelLimit=0, labelOverlap=False)
    y = alt.Y("i:O", axis=axis, scale=alt.Scale(domain=list(range(len(cells)))))
    hundred = alt.Scale(domain=[0, 100])
    x = alt.X("accuracy:Q", scale=hundred, axis=alt.Axis(title="Test accuracy, %"))

    def layer(values):
        return vega.chart(values).encode(y=y, x=x)

    layers = [layer(means).mark_bar(color="var(--c5)", height={"band": 0.7})]
    key = {"mean of the runs": ("square", "var(--c5)", [1, 0])}
    several = [each for each in means if "low" in each]
    if several:
        ticks = {"color": "var(--ink)", "size": 7}
        rule = vega.chart(several).mark_errorbar(color="var(--ink)", ticks=ticks, clip=True)
        layers.append(
            rule.encode(y=y, x=alt.X("low:Q", scale=hundred, title="Test accuracy, %"), x2="high:Q")
        )
        key["95 % interval of the mean"] = ("stroke", "var(--ink)", [1, 0])
    layers.append(layer(runs).mark_point(filled=True, size=14, color="var(--ink)", opacity=1))
    key["single runs"] = ("circle", "var(--ink)", [1, 0])
    if given:
        mark = {"shape": "diamond", "filled": True, "size": 50, "opacity": 1}
        layers.append(
            layer(given).mark_point(fill="var(--c1)", stroke="var(--ink)", strokeWidth=0.6, **mark)
        )
        key["reported"] = ("diamond", "var(--c1)", [1, 0])
    drawn = alt.layer(*layers, vega.key(key, columns=4))
    return drawn.properties(width=400, height=26 * len(cells))


def write(folder, rows, cells):
    """Write each of FIGURES as PNG and SVG."""
    for column in FIGURES:
        if figure := draw(rows, cells, column):
            style.save(figure, folder, column)
