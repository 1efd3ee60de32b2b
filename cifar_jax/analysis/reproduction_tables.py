"""The tables of README.md and docs/results.md: the reports' figures beside ours, made from the records."""

import statistics
from typing import Any, NamedTuple

from cifar_jax import config as config_lib
from cifar_jax.analysis import reproduction
from cifar_jax.config import experiments
from cifar_jax.config import reported as stated
from cifar_jax.console import tables
from cifar_jax.console.tables import Table
from cifar_jax.errors import UserError
from cifar_jax.machine import files

NOT_RUN = "not yet run"


class Training(NamedTuple):
    """One training of a report: its experiments.Experiment, its ConfigDict, its records."""

    experiment: Any
    config: Any
    records: list

    def percents(self, name):
        """List a fraction of the records in per cent."""
        return [100 * record[name] for record in self.records]

    def figures(self):
        """List in per cent what the report states a figure of, of each record."""
        return self.percents(reproduction.metric_of(self.config.reported))


def collect(records, folder=experiments.CONFIGS):
    """List the reports' trainings with their records, in the reports' order."""
    loaded = [
        (each, config_lib.load(f"{folder}/{each.config}")) for each in experiments.EXPERIMENTS
    ]
    return [
        Training(each, config, reproduction.of_config(records, config)) for each, config in loaded
    ]


def reports(trainings):
    """Tabulate one row a report: of the trainings with records, else of all, that with the best reported figure."""
    rows = []
    for report in dict.fromkeys(each.experiment.report for each in trainings):
        own = [each for each in trainings if each.experiment.report == report]
        trained = [each for each in own if each.records]
        best = max(trained or own, key=lambda each: each.config.reported.value or 0)
        rows.append(
            (
                f"{report}, {stated.AUTHORS[report]}",
                f"{len(trained)} of {len(own)}",
                f"`{best.experiment.config}`",
                tables.reported(best.config.reported),
                _with_interval(best) if best.records else NOT_RUN,
                str(len(best.records)),
            )
        )
    columns = ("report", "trained", "the best of these", "reported", "ours, 95 % interval", "n")
    return Table("", columns, rows, left=(0, 1, 2))


def _with_interval(training):
    from cifar_jax.analysis.statistics import estimate_percent

    estimate = estimate_percent(training.figures())
    interval = "" if estimate.low is None else f" [{estimate.low:.2f}, {estimate.high:.2f}]"
    return f"**{estimate.mean:.2f}**{interval}{_choice(training)}"


def _choice(training):
    """Say what makes a figure better than that of new images."""
    on_test = training.config.selection == "test"
    return " (chosen on the test set)" if on_test else ""


def all_trainings(trainings):
    """Tabulate one row a training: mean and deviation over the seeds."""
    from cifar_jax import models

    rows = []
    for each in trainings:
        params = models.REGISTRY[each.config.model.name].num_params
        reported = tables.reported(each.config.reported)
        first = each.experiment.report, f"`{each.experiment.config}`", f"{params:,}", reported
        rows.append(first + (_ours(each) if each.records else (NOT_RUN, "0", "", "", "")))
    columns = (
        *("report", "experiment", "parameters", "reported"),
        *("ours", "n", "best epoch", "last epoch", "data, hardware"),
    )
    return Table("", columns, rows, left=(0, 1, 8))


def _ours(training):
    kinds = sorted({f"{record['data']}, {record['hardware']}" for record in training.records})
    epochs = [
        "-" if any(record[name] is None for record in training.records)
        else spread(training.percents(name))
        for name in ("best_accuracy", "last_accuracy")
    ]  # fmt: skip
    figure = f"**{spread(training.figures())}**{_choice(training)}"
    return (figure, str(len(training.records)), *epochs, "; ".join(kinds))


def spread(percents, digits=2):
    """Write mean and standard deviation: "61.53 ± 0.80", without the latter for one value."""
    mean = f"{statistics.mean(percents):.{digits}f}"
    return f"{mean} ± {statistics.stdev(percents):.{digits}f}" if len(percents) > 1 else mean


def classes(trainings):
    """Tabulate report 000's Table 2: each class's accuracy, reported and ours."""
    own = [each for each in trainings if each.experiment.report == "000"]
    rows = []
    for index, (name, figures) in enumerate(stated.CLASSES.items()):
        cells = []
        for figure, each in zip(figures, own, strict=True):
            ours = [100 * record["per_class_accuracy"][index] for record in each.records]
            cells += [f"{figure:.1f}", spread(ours, 1) if ours else ""]
        rows.append((name, *cells))
    total = []
    for each in own:
        ours = spread(each.percents("accuracy")) if each.records else NOT_RUN
        total += [tables.reported(each.config.reported), ours]
    rows.append(("all", *total))
    columns = [column for each in own for column in (f"`{each.experiment.id}` reported", "ours")]
    return Table("", ("class", *columns), rows)


def stops(trainings):
    """Tabulate the runs that a rule may stop early: which rule did, after which epoch."""
    rows = []
    for each in trainings:
        rules = each.config.early_stopping
        if not (rules.patience or rules.max_gap):
            continue
        for record in sorted(each.records, key=lambda record: record["seed"]):
            epochs = f"{record['epochs']} of {each.config.total_epochs}"
            why = record["stopped_early"] or "no rule: it had all its epochs"
            rows.append((f"`{each.experiment.config}`", str(record["seed"]), epochs, why))
        if not each.records:
            rows.append((f"`{each.experiment.config}`", "", "", NOT_RUN))
    return Table("", ("experiment", "seed", "epochs", "stopped by"), rows, left=(0, 3))


def outliers(_):
    """Tabulate report 004's Table 2: the mean activation of a layer as what tells other images, reported and ours."""
    from cifar_jax.analysis.ood.results import REPORTED

    rows = []
    for record in reproduction.read_records(reproduction.OUTLIERS):
        for each in record["results"]:
            low, high = (100 * each[f"accuracy_{end}"] for end in ("low", "high"))
            rows.append(
                (
                    *(each["set"], f"`{each['layer']}`", f"{each['n']:,}"),
                    f"{100 * each['auroc']:.1f}",
                    f"**{100 * each['accuracy']:.1f}** [{low:.1f}, {high:.1f}]",
                    f"{100 * each['accuracy_on_judged']:.1f}",
                    f"{100 * REPORTED['accuracy'][each['layer']]:.1f}",
                )
            )
    columns = (
        *("others", "layer", "images judged", "AUROC", "accuracy, 95 % interval"),
        *("threshold read off the judged images", "reported"),
    )
    return Table("", columns, rows, left=(0, 1))


# File -> the name of a pair of marks in it -> the table between them.
TABLES = {
    "README.md": {"reports": reports},
    "docs/results.md": {
        "trainings": all_trainings,
        "classes": classes,
        "stops": stops,
        "outliers": outliers,
    },
}


def write(records, root=reproduction.ROOT):
    """Put the tables between their marks; return the names of the files.

    Raises:
        UserError: a file has no such marks.
    """
    trainings = collect(records)
    for name, made in TABLES.items():
        text = (root / name).read_text(encoding="utf-8")
        for marked, tabulate in made.items():
            text = between_marks(root / name, text, marked, tabulate(trainings))
        files.write_text(root / name, text)
    return list(TABLES)


def between_marks(path, text, name, table):
    """Return the text of a Markdown file with a table between the marks of that name.

    Raises:
        UserError: there are no such marks.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise UserError(f"{path} has no lines {begin} and {end} to put the table between")
    return f"{before}{begin}\n{tables.rows_in_markdown(table)}\n{end}{after}"
