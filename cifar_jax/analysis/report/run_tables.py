"""The tables of a run in a report: as in its evaluation, and beside what was reported."""

from cifar_jax.analysis.report import words
from cifar_jax.console import tables

MOST_CELLS = 400  # of a confusion matrix' table
PERCENT = " %"


def reported(found):
    """What the config says is reported, beside ours, and the model's size."""
    from cifar_jax.models.reported import REPORTED

    stated, rows = found["config"]["reported"], []
    if stated["value"] is not None:
        metric, interval = stated["metric"], "–"
        if metric.startswith("test accuracy"):
            ours = 100 * found["accuracy"]
            interval = tables.percent_range(found["accuracy_interval"])
        else:  # the schema knows no third; see cifar_jax.analysis.reproduction.METRICS
            ours = 100 * found["macro"]["f1"] if metric.startswith("test F1") else None
        metric = metric or "reported figure"
        if found["split"] != "test":
            metric += f" (ours: {found['split']})"
        rows.append(
            (
                metric,
                f"{stated['value']:.2f}",
                "–" if ours is None else f"{ours:.2f}",
                interval,
                "–" if ours is None else f"{ours - stated['value']:+.2f}",
                stated["source"],
            )
        )
    if size := REPORTED.get(found["model"]["name"]):
        ours = found["model"]["params"]
        classes = len(found["dataset"]["class_names"])
        source = f"report {size.source}" + (
            "" if classes == 10 else f"; ours with {classes} classes"
        )
        rows.append(
            ("parameters", f"{size.params:,}", f"{ours:,}", "–", f"{ours - size.params:+,}", source)
        )  # fmt: skip
    columns = ("", "reported", "ours", "95 % interval", "difference", "source")
    return words.table("Reported and ours", columns, rows, (0, 5))


def matrix(confusion, names):
    """The table of a confusion matrix; of a great one the most confused pairs."""
    if len(names) ** 2 <= MOST_CELLS:
        rows = [
            (name, *(f"{count:,}" if count else "·" for count in row))
            for name, row in zip(names, confusion, strict=True)
        ]
        found = words.table("Confusion matrix", ("true, predicted", *names), rows)
        return {"matrix": found, "matrix_partly": False}
    wrong = [
        (images, true, predicted)
        for true, row in enumerate(confusion)
        for predicted, images in enumerate(row)
        if images and true != predicted
    ]
    wrong = sorted(wrong, key=lambda each: (-each[0], each[1:]))[:50]
    rows = [(names[true], names[predicted], f"{images:,}") for images, true, predicted in wrong]
    found = words.table("Confusions", ("true", "predicted", "images"), rows, (0, 1))
    return {"matrix": found, "matrix_partly": True}


def classes(per_class):
    """The table of all classes."""
    rows = [
        (
            each["name"],
            f"{each['images']:,}",
            tables.percent(each["accuracy"]).removesuffix(PERCENT),
            tables.percent_range(each["accuracy_interval"]),
            *(f"{100 * each[key]:.2f}" for key in ("precision", "f1")),
        )
        for each in per_class
    ]
    columns = ("class", "images", "accuracy (recall), %", "95 % interval", "precision, %", "F1, %")
    return words.table("Figures of the classes", columns, rows)


def bins(found):
    """The table of a calibration's bins."""
    rows = [
        (
            f"{100 * each['low']:.1f} to {100 * each['high']:.1f}",
            f"{each['images']:,}",
            f"{100 * each['confidence']:.2f}",
            f"{100 * each['accuracy']:.2f}",
        )
        for each in found
        if each["images"]
    ]
    return words.table("Bins", ("confidence, %", "images", "its mean", "accuracy"), rows)


def versions(each):
    """Versions of packages in training and in evaluation."""
    trained = each.summary.get("versions") or each.started.get("versions") or {}
    trained = trained if isinstance(trained, dict) else {}
    now = each.evaluation["versions"]
    rows = [
        (name, trained.get(name, "–"), now.get(name, "–")) for name in dict.fromkeys([*trained, *now])
    ]  # fmt: skip
    return words.table("Versions", ("package", "in training", "in evaluation"), rows, (0, 1, 2))
