"""Charts of an evaluation: confusion matrix, classes, calibration."""

import numpy as np

from cifar_jax.analysis import scores, style
from cifar_jax.analysis.charts import vega
from cifar_jax.analysis.charts.vega import alt
from cifar_jax.console.tables import FEW_CLASSES

CLASSES_KEY = {
    "accuracy, 95 % interval": ("circle", "var(--c0)", [1, 0]),
    "precision": ("diamond", "var(--c1)", [1, 0]),
    "all classes": ("stroke", "var(--muted)", [4, 3]),
}
CALIBRATION_KEY = {
    "accuracy, 95 % interval": ("circle", "var(--c0)", [1, 0]),
    "calibrated": ("stroke", "var(--c1)", [5, 4]),
}
NAME = 1.5  # inches that a class' name gets in a file


def confusion(matrix, class_names, title=None):
    """Draw a confusion matrix, shaded by the share of each true class; hover tells counts and per cent.

    Args:
        matrix: int [true class, predicted class].
        class_names: of its lines.
        title: of a file.
    """
    matrix, totals = np.asarray(matrix), np.maximum(np.sum(matrix, axis=1), 1)
    few = len(class_names) <= FEW_CLASSES
    size = 11 if few else 7
    names = [style.shortened(each, NAME, size) if title else each for each in class_names]
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
    axis = {"domain": False, "labelExpr": vega.names_of(names), "labelFontSize": size}
    axis |= {"labelOverlap": False, "labelLimit": 110}
    top = {"orient": "top", "labelAngle": 0 if max(map(len, names)) <= 2 else -90}
    places = alt.Scale(domain=list(range(len(names))))
    base = vega.chart(values).encode(
        alt.X("p:O", scale=places).axis(title="Predicted class", **top, **axis),
        alt.Y("t:O", scale=places).axis(title="True class", **axis),
        tooltip=vega.hover(
            *(("true:N", "True class"), ("predicted:N", "Predicted class"), ("of:N", "Images")),
            ("share:Q", "Share of the true class", ".2%"),
        ),
    )
    # Among many classes each confusion is rare: more shades for small shares.
    exponent, least = (0.7, 0.04) if few else (0.5, 0.1)
    scale = alt.Scale(type="pow", exponent=exponent, domain=[0, 1], range=[least, 1])
    rounded = {"cornerRadius": 3 if few else 0, "strokeWidth": 2 if few else 0}
    rect = base.mark_rect(fill="var(--heat)", stroke="var(--card)", cursor="pointer", **rounded)
    layers = [rect.encode(alt.FillOpacity("share:Q", scale=scale, legend=None))]
    if few:
        ink = alt.condition(
            alt.datum.share > 0.55, alt.value("var(--on-heat)"), alt.value("var(--ink)")
        )
        some = base.transform_filter(alt.datum.images > 0).encode(color=ink)
        counts = some.mark_text(fontSize=11, cursor="pointer", dy=-6 if title else 0)
        layers.append(counts.encode(alt.Text("images:Q", format=",")))
        if title:
            shares = some.mark_text(fontSize=8, dy=7)
            layers.append(shares.encode(alt.Text("share:Q", format=".1%")))
    elif title:
        shades = {share: least + (1 - least) * share**exponent for share in (0.01, 0.1, 0.5, 1)}
        heat = vega.LIGHT["heat"]
        entries = {
            f"{share:.0%}": ("square", f"{heat}{round(255 * shade):02x}", [1, 0])
            for share, shade in shades.items()
        }
        words = {"title": "Share of the true class", "symbolStrokeWidth": 0}
        layers.append(vega.key(entries, orient="right", **words))
    description = "Confusion matrix: rows are true classes, columns predicted ones"
    drawn = alt.layer(*layers, description=description)
    if not title:
        return drawn.properties(height=(34 if few else 9) * len(names))
    side = max(150, 40 * len(names)) if few else max(480, 8 * len(names))
    return drawn.properties(title=title, width=side, height=side)


def confusions(comparison):
    """Draw the confusion matrices of a comparison, as of comparison.compare, side by side for a file."""
    runs, names = comparison["runs"], comparison["dataset"]["class_names"]
    parts = [
        confusion(
            run["confusion"],
            names,
            f"{style.shortened(run['name'], 2.5, 11)}: {100 * run['accuracy']:.2f} %",
        )
        for run in runs
    ]
    return alt.concat(*parts, columns=2 if len(runs) in (2, 4) else 3)


def classes(per_class, accuracy, title=None):
    """Draw the accuracy of each class with its interval, its precision, and the accuracy of all.

    Args:
        per_class: of an evaluation.
        accuracy: of all images, a fraction.
        title: of a file.
    """
    few = len(per_class) <= FEW_CLASSES
    size = 12 if few else 9
    names = [each["name"] for each in per_class]
    names = [style.shortened(each, NAME, size) for each in names] if title else names
    values = [
        {
            **{"i": i, "name": names[i], "images": each["images"]},
            "accuracy": 100 * each["accuracy"],
            "precision": 100 * each["precision"] if each["predicted"] else None,
            **vega.interval(each),
        }
        for i, each in enumerate(per_class)
        if each["images"]
    ]
    axis = {"labelExpr": vega.names_of(names), "labelLimit": 110, "labelOverlap": False}
    axis |= {"labelFontSize": size, "labelColor": "var(--ink)"}
    places = alt.Scale(domain=list(range(len(names)))) if title else alt.Scale()
    base = vega.chart(values).encode(
        alt.Y("i:O", scale=places).axis(title=None, domain=False, **axis),
        tooltip=vega.hover(
            *(("name:N", "Class"), ("images:Q", "Images", ",")),
            *(("accuracy:Q", "Accuracy, %", ".2f"), ("low:Q", "Interval from, %", ".2f")),
            *(("high:Q", "to, %", ".2f"), ("precision:Q", "Precision, %", ".2f")),
        ),
    )
    x = alt.X("accuracy:Q").scale(domain=[0, 100]).axis(title="Per cent", tickCount=5)
    bar = base.mark_bar(color="var(--c0)", opacity=0.32, cornerRadiusEnd=3, height={"band": 0.72})
    interval = base.mark_rule(strokeWidth=2, color="var(--c0)").encode(x="low:Q", x2="high:Q")
    dot = base.mark_point(filled=True, size=44 if few else 20, color="var(--c0)", opacity=1)
    look = {"filled": False, "strokeWidth": 1.8, "size": 54 if few else 22, "opacity": 1}
    precision = base.mark_point(shape="diamond", color="var(--c1)", **look)
    rule = vega.chart([{"all": 100 * accuracy}]).mark_rule(strokeDash=[4, 3], color="var(--muted)")
    everything = rule.encode(x="all:Q", tooltip=vega.hover(("all:Q", "All classes, %", ".2f")))
    drawn = alt.layer(
        *(bar.encode(x), everything, interval, dot.encode(x), precision.encode(x="precision:Q")),
        description="Accuracy of each class with its 95 % interval, and precision",
    )
    if not title:
        return drawn.properties(height=(30 if few else 13) * len(names))
    height = (28 if few else 12) * len(names)
    return (drawn + vega.key(CLASSES_KEY)).properties(title=title, width=400, height=height)


def calibration(calibrated):
    """Draw accuracy against confidence, and the images of each bin.

    Args:
        calibrated: `calibration` of an evaluation.
    Returns:
        (chart of the diagram, of the counts).
    """
    values = []
    for each in calibrated["bins"]:
        if each["images"]:
            low, high = scores.interval(each["hits"], each["images"])
            shares = {name: each[name] for name in ("confidence", "accuracy")}
            shares |= {"from": each["low"], "to": each["high"], "low": low, "high": high}
            values.append(
                {name: 100 * share for name, share in shares.items()} | {"images": each["images"]}
            )
    hundred = alt.Scale(domain=[0, 100], nice=False)

    def x(name, title=None):
        return alt.X(f"{name}:Q", scale=hundred).axis(title=title, grid=False, tickCount=5)

    y = alt.Y("accuracy:Q", scale=hundred).axis(title="Accuracy, %", tickCount=5)
    base = vega.chart(values).encode(
        tooltip=vega.hover(
            *(("from:Q", "Confidence from, %", ".1f"), ("to:Q", "to, %", ".1f")),
            *(("images:Q", "Images", ","), ("confidence:Q", "Mean confidence, %", ".2f")),
            ("accuracy:Q", "Accuracy, %", ".2f"),
        )
    )
    edge = {"stroke": "var(--card)", "strokeWidth": 1.5}
    bars = base.mark_rect(color="var(--c0)", opacity=0.28, **edge)
    line = vega.chart([{"c": 0}, {"c": 100}]).mark_line(
        color="var(--c1)", strokeDash=[5, 4], strokeWidth=1.5
    )
    middle = x("confidence", "Confidence, %")
    spans = base.mark_rule(color="var(--c0)", strokeWidth=1.8)
    dots = base.mark_point(filled=True, size=46, color="var(--c0)", opacity=1)
    diagram = alt.layer(
        bars.encode(x("from"), y, x2="to:Q", y2=alt.datum(0)),
        line.encode(alt.X("c:Q", scale=hundred), alt.Y("c:Q", scale=hundred)),
        spans.encode(middle, y="low:Q", y2="high:Q"),
        dots.encode(middle, y),
        description="Accuracy against confidence, with 95 % intervals",
    ).resolve_axis(x="shared")
    log = alt.Y("images:Q").scale(type="log", domainMin=0.7, nice=False)
    log = log.axis(title="Images (log)", tickCount=3, format="~s", grid=False)
    bars = base.mark_rect(color="var(--muted)", opacity=0.5, **edge)
    counts = bars.encode(x("from", "Confidence, %"), log, x2="to:Q", y2=alt.datum(0.7))
    counts = counts.properties(description="Images by confidence", height=80)
    return diagram.properties(height=280), counts


def reliability(calibrated, title):
    """Draw the calibration of an evaluation for a file."""
    error, confidence = (100 * calibrated[name] for name in ("error", "confidence"))
    below = f"calibration error {error:.2f} %, mean confidence {confidence:.2f} %"
    diagram, counts = calibration(calibrated)
    diagram += vega.key(CALIBRATION_KEY)
    parts = diagram.properties(width=340, height=300), counts.properties(width=340)
    return alt.vconcat(*parts, title=alt.Title(title, subtitle=below))
