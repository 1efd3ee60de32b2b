"""Charts of what happened in training."""

import altair as alt

from cifar_jax.analysis import curves
from cifar_jax.analysis.report import vega

EPOCHS = 10  # so many make a curve of epochs; of fewer the log intervals are drawn


def training(rows, chosen, selected_on):
    """Loss, accuracy and learning rate of a run.

    Args:
        rows: of writers.read_rows.
        chosen: (checkpoint's name, its step), to mark.
        selected_on: what the validation rows are of: "validation" or "test".
    Returns:
        (name -> specification, for "loss", "accuracy" and "learning_rate"; what a point of training is, in
        words). No specification where nothing was logged.
    """
    intervals, ends = curves.by_step(rows, "train"), curves.by_step(rows, "train_epoch")
    if not intervals:
        return {}, ""
    by_epoch = len(ends) >= EPOCHS
    trained = ends if by_epoch else curves.without_short(intervals)
    series = {"training": trained, selected_on: curves.by_step(rows, "validation")}
    series = {name: found for name, found in series.items() if found}
    per_epoch = curves.steps_per_epoch(rows)
    drawn = {}
    for column, title, scale in (("loss", "Loss, nats", 1), ("accuracy", "Accuracy, %", 100)):
        values = [
            _point(row, per_epoch, name, scale * row[column])
            for name, found in series.items()
            for row in found
            if isinstance(row.get(column), int | float)
        ]
        # Where the curve leaves room: a loss falls, an accuracy rises.
        mark = _mark(chosen, per_epoch, values, 6 if column == "loss" else 232)
        drawn[column] = _lines(values, list(series), title, 240, mark)
    rates = [
        _point(row, per_epoch, "learning rate", row["learning_rate"])
        for row in _thinned(intervals)
        if isinstance(row.get("learning_rate"), int | float)
    ]
    mark = _mark(chosen, per_epoch, rates)
    drawn["learning_rate"] = _lines(rates, ["learning rate"], "Learning rate", 110, mark, first=2)
    return drawn, "mean of an epoch" if by_epoch else "mean of a log interval"


def _thinned(rows, most=600):
    """At most so many of the rows, evenly; the last one is kept."""
    every = -(-len(rows) // most)
    return rows[::-1][::every][::-1]


def _point(row, per_epoch, name, value):
    place = row["step"] / per_epoch if per_epoch else row["step"]
    return {"x": place, "step": row["step"], "series": name, "value": value}


def _mark(chosen, per_epoch, values, height=None):
    """A dashed line where the chosen checkpoint is; its name at a height in pixels, or without it."""
    place = chosen[1] / per_epoch if per_epoch else chosen[1]
    last = max([place, *(each["x"] for each in values)])
    rule = vega.chart([{"x": place, "label": f"checkpoint {chosen[0]}"}])
    layers = [
        rule.mark_rule(color="var(--muted)", strokeDash=[3, 3], strokeWidth=1.2).encode(x="x:Q")
    ]
    if height is not None:
        side = {"align": "right", "dx": -6} if place > 0.6 * last else {"align": "left", "dx": 6}
        layers.append(
            rule.mark_text(y=height, fontSize=11, color="var(--muted)", **side).encode(
                x="x:Q", text="label:N"
            )
        )
    return layers, per_epoch


def _lines(values, names, title, height, mark, first=0, key=True):
    marked, per_epoch = mark
    unit = "Epoch" if per_epoch else "Step"
    numbers = range(first, first + len(names))
    legend = (
        alt.Legend(title=None, orient="top", symbolType="stroke")
        if key and len(names) > 1
        else None
    )
    colours = alt.Scale(domain=names, range=[vega.colour(i) for i in numbers])
    dashes = alt.Scale(
        domain=names, range=[vega.DASHES[(i - first) % len(vega.DASHES)] for i in numbers]
    )
    least = alt.Scale(zero=title == "Learning rate", nice=True)
    exponent = alt.Axis(title=title, tickCount=4, **({"format": "~g"} if first == 2 else {}))
    base = vega.chart(values).encode(
        x=alt.X(
            "x:Q",
            axis=alt.Axis(title=unit, grid=False, tickMinStep=1, tickCount=8),
            scale=alt.Scale(zero=True, nice=False),
        ),
        y=alt.Y("value:Q", axis=exponent, scale=least),
        color=alt.Color("series:N", scale=colours, legend=legend),
        tooltip=[
            # Vega-Lite 6 looks for a nearest point's text in the wrong place, unless it is to format it.
            alt.Tooltip("series:N", title="Curve", format="", formatType="asText"),
            alt.Tooltip("x:Q", title=unit, format="~r" if per_epoch is None else ".2~f"),
            alt.Tooltip("step:Q", title="Step", format=","),
            alt.Tooltip("value:Q", title=title, format=".4~r"),
        ],
    )
    nearest = alt.selection_point(nearest=True, on="pointerover", empty=False, clear="pointerout")
    few = len(values) <= 60
    line = base.mark_line(strokeWidth=2, interpolate="linear", strokeJoin="round").encode(
        strokeDash=alt.StrokeDash("series:N", scale=dashes, legend=legend), tooltip=[]
    )
    shown = alt.condition(nearest, alt.value(1), alt.value(0.85 if few else 0))
    points = base.mark_point(filled=True, size=34).encode(opacity=shown).add_params(nearest)
    description = f"{title} over {unit.lower()}s: {', '.join(names)}"
    return vega.specify(alt.layer(*marked, line, points), description, height)


def runs_validation(rows_of):
    """Validation accuracy of several runs over their epochs; None where fewer than two have it.

    Args:
        rows_of: name -> rows of writers.read_rows.
    """
    values = []
    for name, rows in rows_of.items():
        per_epoch = curves.steps_per_epoch(rows)
        found = curves.by_step(rows, "validation")
        if per_epoch and found:
            values += [_point(row, per_epoch, name, 100 * row["accuracy"]) for row in found]
    if len({each["series"] for each in values}) < 2:
        return None
    # All names, so that a run has one colour in all charts.
    return _lines(values, list(rows_of), "Validation accuracy, %", 260, ([], 1), key=False)
