"""Charts of what happened in training: loss, accuracy and learning rate over epochs or steps."""

import math
import textwrap

from cifar_jax.analysis import curves
from cifar_jax.analysis.charts import vega
from cifar_jax.analysis.charts.vega import alt

EPOCHS = 10  # so many make a curve of epochs; of fewer the log intervals are drawn
LINE = 88  # letters of a line above a figure
FEW = 60  # points that are seen without hovering
COLUMNS = (
    *(("loss", "Loss, nats", 1), ("accuracy", "Accuracy, %", 100)),
    ("learning_rate", "Learning rate", 1),
)


def of_page(rows, chosen, selected_on):
    """Draw loss, accuracy and learning rate of a run for a page.

    Args:
        rows: of writers.read_rows.
        chosen: (checkpoint's name, its step), to mark.
        selected_on: what the validation rows are of: "validation" or "test".
    Returns:
        (name -> chart, for "loss", "accuracy" and "learning_rate"; what a point of training is, in words). No
        chart where nothing was logged.
    """
    intervals, ends = curves.by_step(rows, "train"), curves.by_step(rows, "train_epoch")
    if not intervals:
        return {}, ""
    by_epoch = len(ends) >= EPOCHS
    trained = ends if by_epoch else curves.without_short(intervals)
    drawn = _measured(rows, trained, selected_on, curves.steps_per_epoch(rows), chosen)
    heights = {"loss": 240, "accuracy": 240, "learning_rate": 110}
    drawn = {name: chart.properties(height=heights[name]) for name, chart in drawn.items()}
    return drawn, "mean of an epoch" if by_epoch else "mean of a log interval"


def of_file(rows, axis, chosen, selected_on="validation", remark=""):
    """Draw loss and accuracy of training and validation, with the learning rate below them, for a file.

    Training is the mean over an epoch by "epoch", over a log interval by "step": of augmented images, of a model
    that changes meanwhile, with dropout.

    Args:
        rows: of writers.read_rows. Those of validation may be missing; of two of one step the later counts.
        axis: "epoch" or "step".
        chosen: (checkpoint's name, its step), to mark.
        selected_on: what the validation rows are of: "validation", or "test" of a run that selected on it.
        remark: stands above.
    Returns:
        altair.Chart; None where there is nothing to draw.
    """
    trained = curves.by_step(rows, "train_epoch" if axis == "epoch" else "train")
    if not (trained and curves.by_step(rows, "train")):
        return None
    per_epoch = curves.steps_per_epoch(rows)
    of_epoch = f", epoch {chosen[1] / per_epoch:g}" if per_epoch else ""
    chosen = f"{chosen[0]}, step {chosen[1]:,}{of_epoch}", chosen[1]
    per_epoch = per_epoch if axis == "epoch" else None
    trained = curves.without_short(trained)
    drawn = _measured(rows, trained, selected_on, per_epoch, chosen, still=True)
    heights = {"loss": 150, "accuracy": 150, "learning_rate": 75}
    parts = (part.properties(width=460, height=heights[name]) for name, part in drawn.items())
    independent = {"color": "independent", "strokeDash": "independent"}
    whole = alt.vconcat(*parts, spacing=6).resolve_scale(x="shared", **independent)
    if not remark:
        return whole
    text = textwrap.wrap(remark[0].upper() + remark[1:], LINE)
    return whole.properties(title=alt.Title(text, fontSize=11, fontWeight="normal", anchor="start"))


def runs_validation(rows_of):
    """Draw validation accuracy of several runs over their epochs; None where fewer than two have it.

    Args:
        rows_of: name -> rows of writers.read_rows.
    """
    values = []
    for name, rows in rows_of.items():
        per_epoch = curves.steps_per_epoch(rows)
        validated = curves.by_step(rows, "validation")
        if per_epoch and validated:
            values += [_point(row, per_epoch, name, 100 * row["accuracy"]) for row in validated]
    if len({each["series"] for each in values}) < 2:
        return None
    # All names, so that a run has one colour in all charts.
    drawn = lines(values, "Validation accuracy, %", 1, names=list(rows_of), key=False)
    return drawn.properties(height=260)


def _measured(rows, trained, selected_on, per_epoch, chosen, still=False):
    """Draw a chart of each of loss, accuracy and learning rate: name -> chart."""
    drawn, validated = {}, curves.by_step(rows, "validation")
    for column, title, scale in COLUMNS:
        series = {"training": trained, selected_on: validated}
        if column == "learning_rate":
            series = {"learning rate": _thinned(curves.by_step(rows, "train"))}
        values = [
            _point(row, per_epoch, name, scale * row[column])
            for name, some in series.items()
            for row in some
            if isinstance(row.get(column), int | float) and math.isfinite(row[column])
        ]
        # Where the curve leaves room: a loss falls, an accuracy rises.
        height = {"loss": 6, "accuracy": None if still else 232}.get(column)
        options = {"first": 2, "below": True} if column == "learning_rate" else {"below": not still}
        options["key"] = column == "loss" or not still
        mark = _mark(chosen, per_epoch, values, height)
        drawn[column] = lines(values, title, per_epoch, mark, still=still, **options)
    return drawn


def _thinned(rows, most=600):
    """Return at most so many of the rows, evenly; the last one is kept."""
    every = -(-len(rows) // most)
    return rows[::-1][::every][::-1]


def _point(row, per_epoch, name, value):
    place = row["step"] / per_epoch if per_epoch else row["step"]
    return {"x": place, "step": row["step"], "series": name, "value": value}


def _mark(chosen, per_epoch, values, height=None):
    """Draw a dashed line where the chosen checkpoint is; its name at a height in pixels, or without it."""
    place = chosen[1] / per_epoch if per_epoch else chosen[1]
    last = max([place, *(each["x"] for each in values)])
    rule = vega.chart([{"x": place, "label": f"checkpoint {chosen[0]}"}])
    line = rule.mark_rule(color="var(--muted)", strokeDash=[3, 3], strokeWidth=1.2)
    layers = [line.encode(x="x:Q")]
    if height is not None:
        side = {"align": "right", "dx": -6} if place > 0.6 * last else {"align": "left", "dx": 6}
        name = rule.mark_text(y=height, fontSize=11, color="var(--muted)", **side)
        layers.append(name.encode(x="x:Q", text="label:N"))
    return layers


def lines(
    values, title, per_epoch, marked=(), names=None, first=0, key=True, still=False, below=True
):
    """Draw lines with their points, which hover tells.

    Args:
        values: dicts of "x", "step", "series" and "value".
        title: of the values.
        per_epoch: steps of an epoch where `x` are epochs; None where they are steps.
        marked: layers behind the lines.
        names: of the series in order; None for all of the values.
        first: number of the first line's colour.
        key: whether there is one.
        still: for a file.
        below: whether the axis below has a title.
    """
    names = names or list(dict.fromkeys(each["series"] for each in values))
    unit = "Epoch" if per_epoch else "Step"
    legend = alt.Legend(title=None, orient="top", symbolType="stroke")
    legend = legend if key and len(names) > 1 else None
    colours = [vega.colour(first + i) for i in range(len(names))]
    dashes = [vega.DASHES[i % len(vega.DASHES)] for i in range(len(names))]
    last = max((each["x"] for each in values), default=0)
    # Vega would mark half epochs.
    whole = {"values": list(range(int(last) + 1)), "format": "d"}
    ticks = whole if still and per_epoch and last < 9 else {}
    is_rate = title == "Learning rate"
    base = vega.chart(values).encode(
        alt.X("x:Q", scale=alt.Scale(zero=True, nice=False)).axis(
            title=unit if below else None, grid=False, tickMinStep=1, tickCount=8, **ticks
        ),
        alt.Y("value:Q", scale=alt.Scale(zero=is_rate, nice=True)).axis(
            title=title, tickCount=4, **({"format": "~g"} if is_rate else {})
        ),
        alt.Color("series:N", legend=legend).scale(domain=names, range=colours),
        tooltip=[
            # Vega-Lite 6 looks for a nearest point's text in the wrong place, unless it is to format it.
            alt.Tooltip("series:N", title="Curve", format="", formatType="asText"),
            *vega.hover(
                ("x:Q", unit, "~r" if per_epoch is None else ".2~f"),
                *(("step:Q", "Step", ","), ("value:Q", title, ".4~r")),
            ),
        ],
    )
    line = base.mark_line(strokeWidth=2, interpolate="linear", strokeJoin="round").encode(
        alt.StrokeDash("series:N", legend=legend).scale(domain=names, range=dashes), tooltip=[]
    )
    points, few = base.mark_point(filled=True, size=34), len(values) <= FEW
    if still:  # without tooltips, of which one's format is the page's own
        layers = [points.encode(tooltip=[], opacity=alt.value(0.85))] if few else []
    else:
        hovered = {"on": "pointerover", "clear": "pointerout", "empty": False}
        nearest = alt.selection_point(nearest=True, **hovered)
        shown = alt.condition(nearest, alt.value(1), alt.value(0.85 if few else 0))
        layers = [points.encode(opacity=shown).add_params(nearest)]
    description = f"{title} over {unit.lower()}s: {', '.join(names)}"
    return alt.layer(*marked, line, *layers, description=description)
