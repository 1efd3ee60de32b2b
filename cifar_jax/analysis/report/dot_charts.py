"""Charts of several runs, and of several sets of images, as dots."""

import json

import altair as alt

from cifar_jax.analysis.report import vega


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
    base = vega.chart(values).encode(
        y=alt.Y(
            "i:O",
            axis=alt.Axis(
                title=None, labelExpr=said, domain=False, labelLimit=150, labelColor="var(--ink)"
            ),
        ),
        color=alt.Color(
            "i:O",
            scale=alt.Scale(
                domain=list(range(len(values))), range=[vega.colour(i) for i in range(len(values))]
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
    return vega.specify(
        alt.layer(span, dot), "Accuracy of the runs with 95 % intervals", 38 * len(values) + 10
    )


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
    base = vega.chart(values).encode(
        x=alt.X(
            "auroc:Q",
            scale=scale,
            axis=alt.Axis(title="AUROC, %; chance is 50", tickCount=4),
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
        yOffset=alt.YOffset("set:N", sort=sets),  # so that equal figures don't hide each other
        color=alt.Color(
            "set:N",
            scale=alt.Scale(domain=sets, range=[vega.colour(i) for i in range(len(sets))]),
            legend=None,
        ),
        shape=alt.Shape(
            "set:N",
            scale=alt.Scale(domain=sets, range=[vega.shape(i)[0] for i in range(len(sets))]),
            legend=None,
        ),
        tooltip=[
            alt.Tooltip("score:N", title="Score"),
            alt.Tooltip("set:N", title="Set"),
            alt.Tooltip("auroc:Q", title="AUROC, %", format=".2f"),
        ],
    )
    rule = vega.chart([{"c": 50}]).mark_rule(strokeDash=[4, 3], color="var(--muted)")
    chance = rule.encode(x=alt.X("c:Q", scale=scale))
    dots = base.mark_point(filled=True, size=60, opacity=1)
    height = 22 + 9 * len(sets)
    return vega.specify(alt.layer(chance, dots), "AUROC by score and set", height * len(titles))
