"""Views of several runs side by side, for the templates."""

from cifar_jax.analysis import comparison
from cifar_jax.analysis.charts import dots, training, vega
from cifar_jax.analysis.report import words
from cifar_jax.console import tables
from cifar_jax.errors import UserError


def of_runs(collected, specifications):
    """Return the view of a comparison; its charts are put into `specifications`.

    Args:
        collected: list of collect.Collected, two or more.
        specifications: name -> Vega-Lite specification.
    Returns:
        dict for page.html.
    """
    evaluations = {each.name: each.evaluation for each in collected}
    specifications["compare-accuracy"] = vega.specify(dots.runs_accuracy(evaluations))
    if curves := training.runs_validation({each.name: each.rows for each in collected}):
        specifications["compare-validation"] = vega.specify(curves)
    tests, refused = None, ""
    try:
        predictions = {each.name: each.predictions for each in collected}
        tests = tables.of_tests(comparison.compare(evaluations, predictions)["mcnemar"])
    except UserError as error:
        refused = str(error)
    return {
        "summary": _summary(collected),
        "key": [
            {"name": each.name, "colour": vega.colour(i), "line": vega.line_style(i)}
            for i, each in enumerate(collected)
        ],
        "tests": tests,
        "refused": refused,
        "config": config_difference({each.name: each.evaluation["config"] for each in collected}),
    }


def _summary(collected):
    """Return a table: a line a figure, a column a run."""

    def line(title, form):
        return (title, *(form(each.evaluation, each.summary) for each in collected))

    rows = [
        line("accuracy", lambda evaluation, _: tables.percent(evaluation["accuracy"])),
        line(
            "95 % interval, %", lambda evaluation, _: tables.percent_range(evaluation["accuracy_interval"])
        ),
        line("F1, mean over classes", lambda evaluation, _: tables.percent(evaluation["macro"]["f1"])),
        line("cross entropy, nats", lambda evaluation, _: f"{evaluation['loss']:.4f}"),
        line(
            "calibration error", lambda evaluation, _: tables.percent(evaluation["calibration"]["error"])
        ),
        line("reported", lambda evaluation, _: tables.reported(evaluation["config"]["reported"])),
        line("model", lambda evaluation, _: evaluation["model"]["name"]),
        line("parameters", lambda evaluation, _: f"{evaluation['model']['params']:,}"),
        line(
            "million multiply-adds", lambda evaluation, _: f"{evaluation['model']['multiply_adds'] / 1e6:,.2f}"
        ),
        line("images", lambda evaluation, _: f"{evaluation['images']:,} of {evaluation['dataset']['name']}"),
        line("checkpoint", lambda evaluation, _: f"{evaluation['checkpoint']}, step {evaluation['step']:,}"),
        line("epochs", lambda _, summary: words.known(summary, "epochs", "{:,}".format)),
        line(
            "training time", lambda _, summary: words.known(summary, "train_seconds", words.duration)
        ),
        line(
            "training, images/s",
            lambda _, summary: words.known(summary, "images_per_second", "{:,.0f}".format),
        ),
        line("hardware", lambda _, summary: str(summary.get("hardware", "–"))),
    ]  # fmt: skip
    return tables.Table("Side by side", ("", *(each.name for each in collected)), rows)


def config_difference(configs):
    """Return a table of the fields that decide a result and are not the same in all configs.

    Args:
        configs: name -> config as a dict.
    """
    affecting = [words.affecting(config) for config in configs.values()]
    rows = [
        (name, *(words.value(each[name]) for each in affecting))
        for name in affecting[0]
        if any(each[name] != affecting[0][name] for each in affecting)
    ]
    return tables.Table("Configs", ("field", *configs), rows, range(len(configs) + 1))
