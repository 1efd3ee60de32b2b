"""Figures of out-of-distribution detection: histograms of the scores, and images with theirs."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from cifar_jax.analysis import style

BINS = 40
# Widths of the middle 98 % of the in-distribution scores that a histogram shows on either side of it.
REACH = 4
SAMPLES = 8  # images a row
INSIDE, OUTSIDE = "#8C8C8C", style.COLOURS[0]


def histogram(title, panels):
    """A score's histograms, a panel for each set of others.

    Args:
        title: of the score.
        panels: list of (set's name, inside [N], outside [M], row of the results).
    Returns:
        matplotlib.figure.Figure.
    """
    columns = min(len(panels), 2)
    rows = -(-len(panels) // columns)
    figure = style.new(3.9 * columns + (0.6 if columns == 1 else 0), 0.9 + 2.5 * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, panel in zip(grid, panels, strict=False):
        _panel(axes, *panel)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False, fontsize=8)
    figure.supxlabel(f"{style.words(title)}; below the threshold = out of distribution", fontsize=9)
    figure.supylabel("Share of the set's images in a bin, %", fontsize=9)
    return figure


def _panel(axes, name, inside, outside, row):
    threshold, itself = row["threshold"], row["threshold_on_judged"]
    low, high = limits(inside, outside, (threshold, itself))
    edges = np.linspace(low, high, BINS + 1)
    options = {"bins": edges, "zorder": 2}
    axes.hist(
        np.clip(inside, low, high), weights=np.full(len(inside), 100 / len(inside)), color="#E2E2E2",
        edgecolor=INSIDE, hatch="////", linewidth=0.4, label="in-distribution", **options,
    )  # fmt: skip
    axes.hist(
        np.clip(outside, low, high), weights=np.full(len(outside), 100 / len(outside)),
        histtype="step", color=OUTSIDE, linewidth=1.7, label="out of distribution",
        **options | {"zorder": 3},
    )  # fmt: skip
    axes.axvline(threshold, color=style.COLOURS[1], linewidth=1.6, zorder=4, label="threshold")
    axes.axvline(
        itself, color="black", linestyle=style.STYLES[2], linewidth=1.6, zorder=5,
        label="threshold chosen on these very images",
    )  # fmt: skip
    beyond = {"left": outside < low, "right": outside > high}
    lines = [f"{style.words(name, 2, 8.5)}: {100 * row['accuracy']:.1f} % right"] + [
        f"{100 * far.mean():.0f} % of OOD lie further {way}, in the end bar"
        for way, far in beyond.items()
        if far.mean() >= 0.005
    ]
    axes.set_title("\n".join(lines), fontsize=8.5)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.tick_params(labelsize=8)
    margin = 0.02 * (high - low)  # so that a threshold at an end is seen
    axes.set_xlim(low - margin, high + margin)
    style.plain(axes)


def binned(inside, outside, thresholds):
    """The histogram of a score as numbers; what lies beyond its axis is counted in the bin at the end.

    Args:
        inside, outside: float [N], [M].
        thresholds: that the axis must reach.
    Returns:
        dict: `low`, `high` (ends of the axis), `inside`, `outside` (counts of BINS bins of one width).
    """
    low, high = limits(inside, outside, thresholds)
    edges = np.linspace(low, high, BINS + 1)
    counts = [np.histogram(np.clip(each, low, high), edges)[0] for each in (inside, outside)]
    return {"low": low, "high": high, "inside": counts[0].tolist(), "outside": counts[1].tolist()}


def limits(inside, outside, thresholds):
    """The ends of a histogram's axis: all scores, but no further than REACH widths from the inside.

    A few far ones would leave the rest a single bar. What lies beyond is counted in the bar at the end.

    Returns:
        (low, high), low < high.
    """
    first, last = np.percentile(inside, [1, 99])
    width = max(last - first, 1e-9 * max(abs(first), abs(last), 1))
    low = max(min(inside.min(), outside.min()), first - REACH * width)
    high = min(max(inside.max(), outside.max()), last + REACH * width)
    low, high = min(low, *thresholds), max(high, *thresholds)
    if high - low < width:  # all the same
        low, high = low - width, high + width
    return float(low), float(high)


def samples(title, inside, outside, threshold):
    """Images that are accepted and rejected, of either kind, with their scores; the first of each.

    Args:
        title: of the score and the set.
        inside, outside: (uint8 images [N, H, W, 3], scores [N]), in an order that is no choice.
        threshold: of acceptance.
    Returns:
        matplotlib.figure.Figure.
    """
    figure = style.new(7.2, 5.4)
    figure.suptitle(
        f"{style.words(title)}: threshold {threshold:.4g}, the first {SAMPLES} of each", fontsize=10
    )
    rows = []
    for (images, scores), who in ((inside, "In-distribution"), (outside, "Out of distribution")):
        accepted = np.asarray(scores) >= threshold
        for decided, word in ((accepted, "accepted"), (~accepted, "rejected")):
            right = (word == "accepted") == (who == "In-distribution")
            label = f"{who}, {word}, {'right' if right else 'wrong'}: {decided.sum():,} of {len(scores):,}"
            rows.append((label, images[decided][:SAMPLES], np.asarray(scores)[decided]))
    parts = figure.subfigures(len(rows), 1)
    for part, (label, images, scores) in zip(parts, rows, strict=True):
        part.suptitle(label, fontsize=9, x=0.01, ha="left")
        for i, axes in enumerate(part.subplots(1, SAMPLES)):
            axes.set_axis_off()
            if i == 0 and not len(images):
                axes.text(0.05, 0.5, "none", transform=axes.transAxes, fontsize=9, color="0.35")
            if i < len(images):
                axes.imshow(images[i])
                axes.set_title(f"{scores[i]:.3g}", fontsize=8, y=-0.28)
    return figure
