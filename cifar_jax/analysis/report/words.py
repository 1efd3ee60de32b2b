"""Figures and configs in words, and the tables of a run, for the templates."""

import shlex

from cifar_jax import config as config_lib
from cifar_jax.config.schema import fields
from cifar_jax.console import tables
from cifar_jax.models.reported import REPORTED

MOST_CELLS = 400  # of a confusion matrix' table


def command(module, workdir, *options):
    """Write a command line to paste."""
    return shlex.join(["python", "-m", f"cifar_jax.{module}", "--workdir", str(workdir), *options])


def duration(seconds):
    """Write "25.6 s", "12 min 5 s" or "3 h 20 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"


def known(summary, key, form):
    """Write a figure of summary.json in words; a dash where it is missing."""
    value = summary.get(key)
    return "–" if value is None else form(value)


def value(anything):
    """Write a config's value in words."""
    if isinstance(anything, list | tuple):
        return ", ".join(map(str, anything)) or "none"
    if isinstance(anything, bool):
        return "yes" if anything else "no"
    return "none" if anything is None else str(anything) or "–"


def affecting(config):
    """Return name -> value of the fields that decide a run's result."""
    values = config_lib.flatten(config)
    return {name: values[name] for name, field in fields().items() if field.affects_result}


def config_table(config):
    """Tabulate the fields of a config that differ from the defaults."""
    known = fields()
    rows = [
        (name, value(each), value(known[name].default))
        for name, each in affecting(config).items()
        if each != known[name].default
    ]
    return tables.Table("Config", ("field", "value", "default"), rows, (0, 1, 2))


def reported(evaluation):
    """Tabulate the reported figures that the config names, and the model's size, beside ours."""
    stated, rows = evaluation["config"]["reported"], []
    if stated["value"] is not None:
        metric, interval, ours = stated["metric"], "–", None
        if metric.startswith("test accuracy"):
            ours = 100 * evaluation["accuracy"]
            interval = tables.percent_range(evaluation["accuracy_interval"])
        elif metric.startswith("test F1"):  # see cifar_jax.analysis.reproduction.METRICS
            ours = 100 * evaluation["macro"]["f1"]
        metric = metric or "reported figure"
        if evaluation["split"] != "test":
            metric += f" (ours: {evaluation['split']})"
        figures = ("–", interval, "–")
        if ours is not None:
            figures = (f"{ours:.2f}", interval, f"{ours - stated['value']:+.2f}")
        rows.append((metric, f"{stated['value']:.2f}", *figures, stated["source"]))
    if size := REPORTED.get(evaluation["model"]["name"]):
        ours = evaluation["model"]["params"]
        classes = len(evaluation["dataset"]["class_names"])
        source = f"report {size.source}" + (
            "" if classes == 10 else f"; ours with {classes} classes"
        )
        difference = f"{ours - size.params:+,}"
        rows.append(("parameters", f"{size.params:,}", f"{ours:,}", "–", difference, source))
    columns = ("", "reported", "ours", "95 % interval", "difference", "source")
    return tables.Table("Reported and ours", columns, rows, (0, 5))


def matrix(confusion, names):
    """Tabulate a confusion matrix; of a great one the most confused pairs."""
    if len(names) ** 2 <= MOST_CELLS:
        rows = [
            (name, *(f"{count:,}" if count else "·" for count in row))
            for name, row in zip(names, confusion, strict=True)
        ]
        table = tables.Table("Confusion matrix", ("true, predicted", *names), rows)
        return {"matrix": table, "matrix_partly": False}
    wrong = [
        (images, true, predicted)
        for true, row in enumerate(confusion)
        for predicted, images in enumerate(row)
        if images and true != predicted
    ]
    wrong = sorted(wrong, key=lambda each: (-each[0], each[1:]))[:50]
    rows = [(names[true], names[predicted], f"{images:,}") for images, true, predicted in wrong]
    table = tables.Table("Confusions", ("true", "predicted", "images"), rows, (0, 1))
    return {"matrix": table, "matrix_partly": True}


def versions(each):
    """Tabulate versions of packages in training and in evaluation."""
    trained = each.summary.get("versions") or each.started.get("versions") or {}
    now = each.evaluation["versions"]
    rows = [
        (name, trained.get(name, "–"), now.get(name, "–")) for name in dict.fromkeys([*trained, *now])
    ]  # fmt: skip
    return tables.Table("Versions", ("package", "in training", "in evaluation"), rows, (0, 1, 2))
