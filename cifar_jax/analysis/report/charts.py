"""The charts of a report, as Vega-Lite specifications: JSON-able dicts.

Colours are CSS variables of the page, so that they follow its theme; --c0, --c1, ... are those of style.COLOURS.
"""

import functools
import json

import altair as alt
import numpy as np

from cifar_jax.analysis import curves, scores

MANY_CLASSES = 12  # of more than so many a confusion matrix' cells hold no counts
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
DASHES = ([1, 0], [6, 3], [2, 2], [6, 2, 2, 2])  # of lines, beside their colours
SHAPES = (
    *(("circle", "●"), ("diamond", "◆"), ("square", "■")),
    *(("triangle-up", "▲"), ("cross", "✚"), ("triangle-down", "▼")),
)
EPOCHS = 10  # so many make a curve of epochs; of fewer the log intervals are drawn

CONFIG = {
    "background": "transparent",
    "customFormatTypes": True,
    "font": FONT,
    "view": {"stroke": None},
    "axis": {
        "domainColor": "var(--line)",
        "gridColor": "var(--line)",
        "gridOpacity": 0.7,
        "labelColor": "var(--muted)",
        "labelFontSize": 11,
        "tickColor": "var(--line)",
        "ticks": False,
        "labelPadding": 6,
        "titleColor": "var(--muted)",
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "titlePadding": 8,
    },
    "legend": {
        "labelColor": "var(--ink)",
        "labelFontSize": 12,
        "labelLimit": 240,
        "symbolStrokeWidth": 2.5,
        "symbolSize": 220,
        "columnPadding": 18,
        "offset": 8,
    },
}


@functools.cache
def library():
    """Vega, Vega-Lite and Vega-Embed in one JavaScript module, which sets window.vegaEmbed."""
    import vl_convert

    return vl_convert.javascript_bundle()


def colour(number):
    """The CSS colour of the number'th series."""
    return f"var(--c{number % 7})"


def shape(number):
    """The number'th marker: Vega's name of it, and a character that looks like it."""
    return SHAPES[number % len(SHAPES)]


def _chart(values):
    return alt.Chart(alt.Data(values=values))


def _specify(chart, description, height, **options):
    """The specification of a chart as wide as its place."""
    chart = chart.properties(width="container", height=height, description=description, **options)
    found = chart.configure(**CONFIG).to_dict()
    del found["$schema"]  # an address that is never asked, but looks like one that is
    return found


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
    per_epoch = steps_per_epoch(rows)
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


def steps_per_epoch(rows):
    """How many steps an epoch has; None of a run that did not end one."""
    ends = curves.by_step(rows, "train_epoch")
    return ends[0]["step"] / ends[0]["epoch"] if ends and ends[0].get("epoch") else None


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
    rule = _chart([{"x": place, "label": f"checkpoint {chosen[0]}"}])
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


def line_style(number):
    """The CSS border style that looks like the number'th line."""
    return ("solid", "dashed", "dotted", "dashed")[number % len(DASHES)]


def _lines(values, names, title, height, mark, first=0, key=True):
    marked, per_epoch = mark
    unit = "Epoch" if per_epoch else "Step"
    numbers = range(first, first + len(names))
    legend = (
        alt.Legend(title=None, orient="top", symbolType="stroke")
        if key and len(names) > 1
        else None
    )
    colours = alt.Scale(domain=names, range=[colour(i) for i in numbers])
    dashes = alt.Scale(domain=names, range=[DASHES[(i - first) % len(DASHES)] for i in numbers])
    least = alt.Scale(zero=title == "Learning rate", nice=True)
    exponent = alt.Axis(title=title, tickCount=4, **({"format": "~g"} if first == 2 else {}))
    base = _chart(values).encode(
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
    return _specify(alt.layer(*marked, line, points), description, height)


def confusion(matrix, class_names):
    """A confusion matrix, shaded by the share of each true class; hover tells counts and per cent.

    Args:
        matrix: int [true class, predicted class].
        class_names: of its lines.
    """
    matrix, names = np.asarray(matrix), list(class_names)
    totals = np.maximum(matrix.sum(axis=1), 1)
    few = len(names) <= MANY_CLASSES
    cells = np.ndindex(matrix.shape) if few else zip(*np.nonzero(matrix), strict=True)
    values = [
        {
            **{"t": int(true), "p": int(predicted), "true": names[true]},
            **{"predicted": names[predicted], "images": int(matrix[true, predicted])},
            "share": round(float(matrix[true, predicted] / totals[true]), 5),
            "of": f"{matrix[true, predicted]:,} of {matrix[true].sum():,}",
        }
        for true, predicted in cells
    ]
    # The number is the place, so that two classes of one name stay two.
    said = f"{json.dumps(names)}[datum.value]"
    sizes = {"labelFontSize": 11 if few else 7, "labelOverlap": False, "labelLimit": 110}
    numbers = list(range(len(names)))
    axis = {"domain": False, "labelExpr": said, **sizes}
    angle = 0 if max(map(len, names)) <= 2 else -90
    base = _chart(values).encode(
        x=alt.X(
            "p:O",
            scale=alt.Scale(domain=numbers),
            axis=alt.Axis(title="Predicted class", orient="top", labelAngle=angle, **axis),
        ),
        y=alt.Y("t:O", scale=alt.Scale(domain=numbers), axis=alt.Axis(title="True class", **axis)),
        tooltip=[
            alt.Tooltip("true:N", title="True class"),
            alt.Tooltip("predicted:N", title="Predicted class"),
            alt.Tooltip("of:N", title="Images"),
            alt.Tooltip("share:Q", title="Share of the true class", format=".2%"),
        ],
    )
    # Among many classes each confusion is rare: more shades for small shares.
    scale = alt.Scale(
        type="sqrt" if not few else "pow",
        **({"exponent": 0.7} if few else {}),
        domain=[0, 1],
        range=[0.04 if few else 0.1, 1],
    )
    shade = alt.FillOpacity("share:Q", scale=scale, legend=None)
    layers = [
        base.mark_rect(
            fill="var(--heat)", cornerRadius=3 if few else 0, stroke="var(--card)",
            strokeWidth=2 if few else 0, cursor="pointer",
        ).encode(fillOpacity=shade)
    ]  # fmt: skip
    if few:
        ink = alt.condition(
            alt.datum.share > 0.55, alt.value("var(--on-heat)"), alt.value("var(--ink)")
        )
        layers.append(
            base.transform_filter(alt.datum.images > 0)
            .mark_text(fontSize=11, cursor="pointer")
            .encode(text=alt.Text("images:Q", format=","), color=ink)
        )
    description = "Confusion matrix: rows are true classes, columns predicted ones"
    return _specify(alt.layer(*layers), description, (34 if few else 9) * len(names))


def classes(per_class, accuracy):
    """Accuracy of each class with its interval, its precision, and the accuracy of all.

    Args:
        per_class: of an evaluation.
        accuracy: of all images, a fraction.
    """
    few = len(per_class) <= MANY_CLASSES
    values = [
        {
            **{"i": i, "name": each["name"], "images": each["images"]},
            **{"accuracy": 100 * each["accuracy"], "precision": 100 * each["precision"]},
            "low": 100 * each["accuracy_interval"][0],
            "high": 100 * each["accuracy_interval"][1],
        }
        for i, each in enumerate(per_class)
        if each["images"]
    ]
    said = f"{json.dumps([each['name'] for each in per_class])}[datum.value]"
    tooltip = [
        alt.Tooltip("name:N", title="Class"),
        alt.Tooltip("images:Q", title="Images", format=","),
        alt.Tooltip("accuracy:Q", title="Accuracy, %", format=".2f"),
        alt.Tooltip("low:Q", title="Interval from, %", format=".2f"),
        alt.Tooltip("high:Q", title="to, %", format=".2f"),
        alt.Tooltip("precision:Q", title="Precision, %", format=".2f"),
    ]
    base = _chart(values).encode(
        y=alt.Y(
            "i:O",
            axis=alt.Axis(
                title=None, labelExpr=said, domain=False, labelLimit=110, labelOverlap=False,
                labelFontSize=12 if few else 9, labelColor="var(--ink)",
            ),
        ),
        tooltip=tooltip,
    )  # fmt: skip
    x = alt.X(
        "accuracy:Q",
        scale=alt.Scale(domain=[0, 100]),
        axis=alt.Axis(title="Per cent", tickCount=5),
    )
    bar = base.mark_bar(
        color="var(--c0)", opacity=0.32, cornerRadiusEnd=3, height={"band": 0.72}
    ).encode(x=x)
    interval = base.mark_rule(strokeWidth=2, color="var(--c0)").encode(x="low:Q", x2="high:Q")
    dot = base.mark_point(filled=True, size=44 if few else 20, color="var(--c0)", opacity=1).encode(
        x=x
    )
    precision = base.mark_point(
        shape="diamond", filled=False, strokeWidth=1.8, size=54 if few else 22,
        color="var(--c1)", opacity=1,
    ).encode(x="precision:Q")  # fmt: skip
    everything = (
        _chart([{"all": 100 * accuracy}])
        .mark_rule(strokeDash=[4, 3], color="var(--muted)")
        .encode(x="all:Q", tooltip=[alt.Tooltip("all:Q", title="All classes, %", format=".2f")])
    )
    drawn = alt.layer(bar, everything, interval, dot, precision)
    description = "Accuracy of each class with its 95 % interval, and precision"
    return _specify(drawn, description, (30 if few else 13) * len(per_class))


def calibration(found):
    """Accuracy against confidence, and the images of each bin.

    Args:
        found: `calibration` of an evaluation.
    Returns:
        (specification of the diagram, of the counts).
    """
    values = []
    for each in found["bins"]:
        if each["images"]:
            low, high = scores.interval(each["hits"], each["images"])
            values.append(
                {
                    **{"from": 100 * each["low"], "to": 100 * each["high"]},
                    **{"images": each["images"], "confidence": 100 * each["confidence"]},
                    **{"accuracy": 100 * each["accuracy"], "low": 100 * low, "high": 100 * high},
                }
            )
    tooltip = [
        alt.Tooltip("from:Q", title="Confidence from, %", format=".1f"),
        alt.Tooltip("to:Q", title="to, %", format=".1f"),
        alt.Tooltip("images:Q", title="Images", format=","),
        alt.Tooltip("confidence:Q", title="Mean confidence, %", format=".2f"),
        alt.Tooltip("accuracy:Q", title="Accuracy, %", format=".2f"),
    ]
    hundred = alt.Scale(domain=[0, 100], nice=False)

    def x(name, title=None):
        return alt.X(
            f"{name}:Q", scale=hundred, axis=alt.Axis(title=title, grid=False, tickCount=5)
        )

    y = alt.Y("accuracy:Q", scale=hundred, axis=alt.Axis(title="Accuracy, %", tickCount=5))
    base = _chart(values).encode(tooltip=tooltip)
    edge = {"stroke": "var(--card)", "strokeWidth": 1.5}
    bars = base.mark_rect(color="var(--c0)", opacity=0.28, **edge).encode(
        x=x("from"), x2="to:Q", y=y, y2=alt.datum(0)
    )
    ideal = (
        _chart([{"c": 0}, {"c": 100}])
        .mark_line(color="var(--c1)", strokeDash=[5, 4], strokeWidth=1.5)
        .encode(x=alt.X("c:Q", scale=hundred), y=alt.Y("c:Q", scale=hundred))
    )
    spans = base.mark_rule(color="var(--c0)", strokeWidth=1.8).encode(
        x=x("confidence", "Confidence, %"), y="low:Q", y2="high:Q"
    )
    dots = base.mark_point(filled=True, size=46, color="var(--c0)", opacity=1).encode(
        x=x("confidence", "Confidence, %"), y=y
    )
    diagram = alt.layer(bars, ideal, spans, dots).resolve_axis(x="shared")
    counts = base.mark_rect(color="var(--muted)", opacity=0.5, **edge).encode(
        x=x("from", "Confidence, %"),
        x2="to:Q",
        y=alt.Y(
            "images:Q",
            scale=alt.Scale(type="log", domainMin=0.7, nice=False),
            axis=alt.Axis(title="Images (log)", tickCount=3, format="~s", grid=False),
        ),
        y2=alt.datum(0.7),
    )
    return (
        _specify(diagram, "Accuracy against confidence, with 95 % intervals", 280),
        _specify(counts, "Images by confidence", 80),
    )


def runs_accuracy(evaluations):
    """Accuracy of several runs with intervals.

    Args:
        evaluations: name -> evaluation.
    """
    values = [
        {
            **{"i": i, "run": name, "accuracy": 100 * each["accuracy"]},
            "low": 100 * each["accuracy_interval"][0],
            "high": 100 * each["accuracy_interval"][1],
        }
        for i, (name, each) in enumerate(evaluations.items())
    ]
    said = f"{json.dumps(list(evaluations))}[datum.value]"
    base = _chart(values).encode(
        y=alt.Y(
            "i:O",
            axis=alt.Axis(
                title=None, labelExpr=said, domain=False, labelLimit=150, labelColor="var(--ink)"
            ),
        ),
        color=alt.Color(
            "i:O",
            scale=alt.Scale(
                domain=list(range(len(values))), range=[colour(i) for i in range(len(values))]
            ),
            legend=None,
        ),
        tooltip=[
            alt.Tooltip("run:N", title="Run"),
            alt.Tooltip("accuracy:Q", title="Accuracy, %", format=".2f"),
            alt.Tooltip("low:Q", title="Interval from, %", format=".2f"),
            alt.Tooltip("high:Q", title="to, %", format=".2f"),
        ],
    )
    scale = alt.Scale(zero=False, padding=16)
    span = base.mark_rule(strokeWidth=2.5).encode(x=alt.X("low:Q", scale=scale), x2="high:Q")
    dot = base.mark_point(filled=True, size=80, opacity=1).encode(
        x=alt.X("accuracy:Q", scale=scale, axis=alt.Axis(title="Accuracy, %", tickCount=5))
    )
    return _specify(
        alt.layer(span, dot), "Accuracy of the runs with 95 % intervals", 38 * len(values) + 10
    )


def runs_validation(rows_of):
    """Validation accuracy of several runs over their epochs; None where fewer than two have it.

    Args:
        rows_of: name -> rows of writers.read_rows.
    """
    values = []
    for name, rows in rows_of.items():
        per_epoch = steps_per_epoch(rows)
        found = curves.by_step(rows, "validation")
        if per_epoch and found:
            values += [_point(row, per_epoch, name, 100 * row["accuracy"]) for row in found]
    if len({each["series"] for each in values}) < 2:
        return None
    # All names, so that a run has one colour in all charts.
    return _lines(values, list(rows_of), "Validation accuracy, %", 260, ([], 1), key=False)


def detection(results):
    """AUROC of out-of-distribution scores, by set.

    Args:
        results: what ood.json holds.
    """
    titles = {score: about["title"] for score, about in results["scores"].items()}
    sets = list(results["sets"])
    values = [
        {"set": row["set"], "score": titles[row["score"]], "auroc": 100 * row["auroc"]}
        for row in results["results"]
    ]
    least = min(40, *(10 * (each["auroc"] // 10) for each in values))
    scale = alt.Scale(domain=[least, 100], zero=False, nice=False)
    base = _chart(values).encode(
        x=alt.X(
            "auroc:Q",
            scale=scale,
            axis=alt.Axis(title="AUROC, %; chance is 50", tickCount=6),
        ),
        y=alt.Y(
            "score:N",
            sort=list(titles.values()),
            axis=alt.Axis(
                title=None,
                grid=True,
                domain=False,
                labelColor="var(--ink)",
                labelLimit=150,
                labelPadding=12,
            ),
        ),
        color=alt.Color(
            "set:N",
            scale=alt.Scale(domain=sets, range=[colour(i) for i in range(len(sets))]),
            legend=None,
        ),
        shape=alt.Shape(
            "set:N",
            scale=alt.Scale(domain=sets, range=[shape(i)[0] for i in range(len(sets))]),
            legend=None,
        ),
        tooltip=[
            alt.Tooltip("score:N", title="Score"),
            alt.Tooltip("set:N", title="Set"),
            alt.Tooltip("auroc:Q", title="AUROC, %", format=".2f"),
        ],
    )
    rule = _chart([{"c": 50}]).mark_rule(strokeDash=[4, 3], color="var(--muted)")
    chance = rule.encode(x=alt.X("c:Q", scale=scale))
    dots = base.mark_point(filled=True, size=80, opacity=0.9)
    return _specify(alt.layer(chance, dots), "AUROC by score and set", 32 * len(titles))
