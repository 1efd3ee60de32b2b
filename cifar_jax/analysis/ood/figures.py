"""Figures of out-of-distribution detection: histograms of the scores, and images with theirs."""

import numpy as np

from cifar_jax.analysis import style
from cifar_jax.analysis.charts import scores as charts
from cifar_jax.analysis.charts.vega import alt

BINS = 40
# Widths of the middle 98 % of the in-distribution scores that a histogram shows on either side of it.
REACH = 4
SAMPLES = 8  # images a row


def histogram(title, panels):
    """Draw a score's histograms, a panel for each set of others.

    Args:
        title: of the score.
        panels: list of (set's name, inside [N], outside [M], row of the results).
    Returns:
        altair.Chart.
    """
    title = f"{style.shortened(title, 2, 11)}; below the threshold = out of distribution"
    return alt.concat(*(_panel(title, *panel) for panel in panels), columns=2)


def _panel(title, name, inside, outside, row):
    threshold, itself = row["threshold"], row["threshold_on_judged"]
    counted = binned(inside, outside, (threshold, itself))
    beyond = {"left": outside < counted["low"], "right": outside > counted["high"]}
    right = f"{style.shortened(name, 2, 11)}: {100 * row['accuracy']:.1f} % right"
    far_away = [
        f"{100 * far.mean():.0f} % of OOD lie further {way}, in the end bar"
        for way, far in beyond.items()
        if far.mean() >= 0.005
    ]
    chart = charts.histogram(counted, threshold, title, itself)
    return chart.properties(width=260, height=150, title=alt.Title(right, subtitle=far_away))


def binned(inside, outside, thresholds):
    """Count the histogram of a score; what lies beyond its axis is counted in the bin at the end.

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
    """Return the ends of a histogram's axis: all scores, but no further than REACH widths from the inside.

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
    """Draw images that are accepted and rejected, of either kind, with their scores; the first of each.

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


def extremes(title, sets):
    """Draw the images of each set with the lowest and the highest scores.

    Args:
        title: of the score.
        sets: name -> (uint8 images [N, H, W, 3], scores [N]).
    Returns:
        matplotlib.figure.Figure.
    """
    parts = []
    for name, (images, scores) in sets.items():
        order = np.argsort(scores, kind="stable")
        for which, places in (
            ("most unusual", order[:SAMPLES]),
            ("least unusual", order[::-1][:SAMPLES]),
        ):
            pairs = [(images[place], f"{scores[place]:.3g}") for place in places]
            parts.append((f"{style.words(name, 5, 9)}, {which} of {len(scores):,}", pairs))
    heading = f"{style.words(title)}: the lower, the more unusual"
    return sheet(heading, parts, SAMPLES, 1)


def sheet(title, parts, columns, lines):
    """Draw pictures in rows, with words below each.

    Args:
        title: of the figure.
        parts: list of (heading or "", list of (uint8 [H, W, 3], words)).
        columns: pictures a row.
        lines: of words.
    Returns:
        matplotlib.figure.Figure.
    """
    rows = [-(-len(pairs) // columns) for _, pairs in parts]
    row_height = 7.0 / columns + 0.15 * lines
    heights = [
        0.3 * bool(heading) + row_height * count
        for (heading, _), count in zip(parts, rows, strict=True)
    ]
    figure = style.new(7.2, 0.5 + sum(heights))
    figure.suptitle(title, fontsize=10)
    bodies = figure.subfigures(len(parts), 1, squeeze=False, height_ratios=heights).ravel()
    for body, (heading, pairs), count in zip(bodies, parts, rows, strict=True):
        if heading:
            body.suptitle(heading, fontsize=9, x=0.01, ha="left")
        for i, axes in enumerate(body.subplots(count, columns, squeeze=False).ravel()):
            axes.set(xticks=[], yticks=[], anchor="S")
            axes.spines[:].set_visible(False)
            if i < len(pairs):
                picture, words = pairs[i]
                axes.imshow(picture)
                axes.set_xlabel(words, fontsize=7, parse_math=False)
    return figure
