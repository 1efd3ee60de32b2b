"""Charts of several runs, and of several sets of images, as dots: of the report page alone."""

from cifar_jax.analysis.charts import vega
from cifar_jax.analysis.charts.vega import alt


def runs_accuracy(evaluations):
    """Draw the accuracy of several runs with intervals.

    Args:
        evaluations: name -> evaluation.
    """
    values = [
        {"i": i, "run": name, "accuracy": 100 * each["accuracy"]} | vega.interval(each)
        for i, (name, each) in enumerate(evaluations.items())
    ]
    numbers = list(range(len(values)))
    colours = [vega.colour(i) for i in numbers]
    axis = {"labelExpr": vega.names_of(evaluations), "labelLimit": 150, "labelColor": "var(--ink)"}
    scale = alt.Scale(zero=False, padding=16)
    base = vega.chart(values).encode(
        alt.Y("i:O").axis(title=None, domain=False, **axis),
        alt.Color("i:O", legend=None).scale(domain=numbers, range=colours),
        tooltip=vega.hover(
            *(("run:N", "Run"), ("accuracy:Q", "Accuracy, %", ".2f")),
            *(("low:Q", "Interval from, %", ".2f"), ("high:Q", "to, %", ".2f")),
        ),
    )
    span = base.mark_rule(strokeWidth=2.5).encode(alt.X("low:Q", scale=scale), x2="high:Q")
    dot = base.mark_point(filled=True, size=80, opacity=1).encode(
        alt.X("accuracy:Q", scale=scale).axis(title="Accuracy, %", tickCount=5)
    )
    drawn = alt.layer(span, dot, description="Accuracy of the runs with 95 % intervals")
    return drawn.properties(height=38 * len(values) + 10)


def detection(results):
    """Draw the AUROC of out-of-distribution scores, by set.

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
    colours, shapes = zip(
        *((vega.colour(i), vega.shape(i)[0]) for i in range(len(sets))), strict=True
    )
    axis = {"labelColor": "var(--ink)", "labelLimit": 150, "labelPadding": 12}
    base = vega.chart(values).encode(
        alt.X("auroc:Q", scale=scale).axis(title="AUROC, %; chance is 50", tickCount=4),
        alt.Y("score:N", sort=list(titles.values())).axis(
            title=None, grid=True, domain=False, **axis
        ),
        alt.YOffset("set:N", sort=sets),  # so that equal figures don't hide each other
        alt.Color("set:N", legend=None).scale(domain=sets, range=colours),
        alt.Shape("set:N", legend=None).scale(domain=sets, range=shapes),
        tooltip=vega.hover(("score:N", "Score"), ("set:N", "Set"), ("auroc:Q", "AUROC, %", ".2f")),
    )
    rule = vega.chart([{"c": 50}]).mark_rule(strokeDash=[4, 3], color="var(--muted)")
    chance = rule.encode(alt.X("c:Q", scale=scale))
    dots = base.mark_point(filled=True, size=60, opacity=1)
    drawn = alt.layer(chance, dots, description="AUROC by score and set")
    return drawn.properties(height=(22 + 9 * len(sets)) * len(titles))
