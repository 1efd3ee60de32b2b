"""The chart of a score of out-of-distribution detection: its histograms."""

import numpy as np

from cifar_jax.analysis.charts import vega
from cifar_jax.analysis.charts.vega import alt

KEY = {
    "in-distribution": ("square", "#c0c2c6", [1, 0]),
    "out of distribution": ("stroke", "var(--c0)", [1, 0]),
    "threshold": ("stroke", "var(--c1)", [5, 4]),
    "threshold chosen on these very images": ("stroke", "var(--ink)", [2, 2]),
}


def histogram(counted, threshold, title, itself=None):
    """Draw a score's histogram of own images and of others, with the threshold.

    Args:
        counted: of `histograms` of ood.json.
        threshold: number.
        title: of the score.
        itself: the threshold that was chosen on these very images, for a file; None draws none.
    """
    inside, outside = (np.array(counted[who], float) for who in ("inside", "outside"))
    edges = np.linspace(counted["low"], counted["high"], len(inside) + 1)
    inside, outside = (100 * each / each.sum() for each in (inside, outside))
    values = [
        {"from": low, "to": high, "inside": round(own, 3), "outside": round(other, 3)}
        for low, high, own, other in zip(
            edges[:-1].tolist(), edges[1:].tolist(), inside.tolist(), outside.tolist(), strict=True
        )
    ]
    # A stair goes on to the end of its last bin.
    stairs = [*values, {"from": float(edges[-1]), "outside": values[-1]["outside"]}]
    scale = alt.Scale(domain=[float(edges[0]), float(edges[-1])], nice=False, zero=False)
    x = alt.X("from:Q", scale=scale, axis=alt.Axis(title=title, grid=False, tickCount=5))
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
    tooltip = vega.hover(
        *(("from:Q", "Score from", ".4~g"), ("to:Q", "to", ".4~g")),
        *(("inside:Q", "Own images, %", ".2f"), ("outside:Q", "Others, %", ".2f")),
    )
    hover = base.mark_rect(opacity=0).encode(x=x, x2="to:Q", tooltip=tooltip)
    layers = [own, others, hover, _rule(threshold, scale, "var(--c1)", [5, 4])]
    if itself is not None:
        layers += [_rule(itself, scale, "var(--ink)", [2, 2]), vega.key(KEY, columns=2)]
    description = f"Histogram: {title}, own images and others, with the threshold"
    drawn = alt.layer(*layers).resolve_axis(x="shared")
    return drawn.properties(description=description, height=130)


def _rule(threshold, scale, colour, dash):
    rule = vega.chart([{"threshold": threshold}])
    tooltip = vega.hover(("threshold:Q", "Threshold", ".4~g"))
    rule = rule.mark_rule(color=colour, strokeWidth=1.8, strokeDash=dash)
    return rule.encode(alt.X("threshold:Q", scale=scale), tooltip=tooltip)
