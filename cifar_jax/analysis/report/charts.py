"""Charts of an evaluation: confusion matrix, classes, calibration; histograms of a score."""

import json

import altair as alt
import numpy as np

from cifar_jax.analysis import scores
from cifar_jax.analysis.report import vega
from cifar_jax.console.tables import FEW_CLASSES


def confusion(matrix, class_names):
    """A confusion matrix, shaded by the share of each true class; hover tells counts and per cent.

    Args:
        matrix: int [true class, predicted class].
        class_names: of its lines.
    """
    matrix, names = np.asarray(matrix), list(class_names)
    totals = np.maximum(matrix.sum(axis=1), 1)
    few = len(names) <= FEW_CLASSES
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
    base = vega.chart(values).encode(
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
    return vega.specify(alt.layer(*layers), description, (34 if few else 9) * len(names))


def classes(per_class, accuracy):
    """Accuracy of each class with its interval, its precision, and the accuracy of all.

    Args:
        per_class: of an evaluation.
        accuracy: of all images, a fraction.
    """
    few = len(per_class) <= FEW_CLASSES
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
    base = vega.chart(values).encode(
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
        vega.chart([{"all": 100 * accuracy}])
        .mark_rule(strokeDash=[4, 3], color="var(--muted)")
        .encode(x="all:Q", tooltip=[alt.Tooltip("all:Q", title="All classes, %", format=".2f")])
    )
    drawn = alt.layer(bar, everything, interval, dot, precision)
    description = "Accuracy of each class with its 95 % interval, and precision"
    return vega.specify(drawn, description, (30 if few else 13) * len(per_class))


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
    base = vega.chart(values).encode(tooltip=tooltip)
    edge = {"stroke": "var(--card)", "strokeWidth": 1.5}
    bars = base.mark_rect(color="var(--c0)", opacity=0.28, **edge).encode(
        x=x("from"), x2="to:Q", y=y, y2=alt.datum(0)
    )
    ideal = (
        vega.chart([{"c": 0}, {"c": 100}])
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
        vega.specify(diagram, "Accuracy against confidence, with 95 % intervals", 280),
        vega.specify(counts, "Images by confidence", 80),
    )


def histogram(counted, threshold, title):
    """A score's histogram of own images and of others, with the threshold.

    Args:
        counted: of `histograms` of ood.json.
        threshold: number.
        title: of the score.
    """
    inside, outside = (np.array(counted[who], float) for who in ("inside", "outside"))
    edges = np.linspace(counted["low"], counted["high"], len(inside) + 1)
    inside, outside = (100 * each / each.sum() for each in (inside, outside))
    values = [
        {"from": low, "to": high, "inside": round(mine, 3), "outside": round(other, 3)}
        for low, high, mine, other in zip(
            edges[:-1].tolist(), edges[1:].tolist(), inside.tolist(), outside.tolist(), strict=True
        )
    ]
    # A stair goes on to the end of its last bin.
    stairs = [*values, {"from": float(edges[-1]), "outside": values[-1]["outside"]}]
    scale = alt.Scale(domain=[float(edges[0]), float(edges[-1])], nice=False, zero=False)
    x = alt.X(
        "from:Q",
        scale=scale,
        axis=alt.Axis(title=title, grid=False, tickCount=5),
    )
    axis = alt.Axis(title="Share of images, %", tickCount=4)
    base = vega.chart(values)
    own = base.mark_rect(color="var(--muted)", opacity=0.38).encode(
        x=x, x2="to:Q", y=alt.Y("inside:Q", axis=axis), y2=alt.datum(0)
    )
    others = (
        vega.chart(stairs)
        .mark_line(color="var(--c0)", strokeWidth=1.8, interpolate="step-after")
        .encode(x=x, y=alt.Y("outside:Q", axis=axis))
    )
    rule = vega.chart([{"threshold": threshold}])
    line = rule.mark_rule(color="var(--c1)", strokeWidth=1.8, strokeDash=[5, 4]).encode(
        x=alt.X("threshold:Q", scale=scale),
        tooltip=[alt.Tooltip("threshold:Q", title="Threshold", format=".4~g")],
    )
    hover = base.mark_rect(opacity=0).encode(
        x=x,
        x2="to:Q",
        tooltip=[
            alt.Tooltip("from:Q", title="Score from", format=".4~g"),
            alt.Tooltip("to:Q", title="to", format=".4~g"),
            alt.Tooltip("inside:Q", title="Own images, %", format=".2f"),
            alt.Tooltip("outside:Q", title="Others, %", format=".2f"),
        ],
    )
    drawn = alt.layer(own, others, hover, line).resolve_axis(x="shared")
    return vega.specify(
        drawn, f"Histogram: {title}, own images and others, with the threshold", 130
    )
