"""Records of reproduced trainings, and the table of the reports' figures beside ours."""

import datetime
import json
import pathlib
import statistics

from cifar_jax import config as config_lib
from cifar_jax.config import experiments
from cifar_jax.console import tables
from cifar_jax.errors import UserError
from cifar_jax.machine import files

ROOT = experiments.CONFIGS.parent
RECORDS = ROOT / "benchmarks" / "results" / "reproduction.jsonl"
BEGIN, END = "<!-- reproduction: begin -->", "<!-- reproduction: end -->"
# The metric that a config's `reported.metric` begins with -> its name in a record.
METRICS = {"test accuracy": "accuracy", "test F1": "f1"}


def read_records(path=RECORDS):
    """Read the records, a list of dicts; empty where there is no file."""
    path = pathlib.Path(path)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def to_record(config_name, summary, data_name):
    """Make a record from the summary of a run, as of train_and_evaluate.

    Args:
        config_name: "modified_net.py:adam".
        summary: dict.
        data_name: what the data is called in tables, such as "CIFAR-10".
    """
    tested = {which: each["test"] for which, each in summary["checkpoints"].items()}
    chosen = tested[summary["selected"]]
    of_run = ("dataset_fingerprint", "params", "selected", "epochs", "stopped_early")
    of_test = ("accuracy", "precision", "recall", "f1", "per_class_accuracy")
    return {
        "date": datetime.date.today().isoformat(),
        "config": config_name,
        "seed": summary["config"]["seed"],
        "values": summary["config"],
        "data": data_name,
        **{name: summary[name] for name in of_run},
        **{name: chosen[name] for name in of_test},
        **{
            f"{which}_accuracy": tested.get(which, {}).get("accuracy") for which in ("best", "last")
        },
        "seconds": summary["train_seconds"],
        "hardware": summary["hardware"],
        "versions": summary["versions"],
    }


def is_recorded(records, config, seed):
    """Find out if there is a record of this config, field by field, with this seed.

    The name does not count: two tables of a report may print the same training.
    """
    return any(record["seed"] == seed and _same(record, config) for record in records)


def expected_cost(config):
    """Estimate the cost of a run beside others: multiply-adds of its training, with a share for each step."""
    from cifar_jax.models import cost

    steps = config.total_epochs * (50_000 // config.batch_size)
    return steps * (config.batch_size * cost.multiply_adds(config.model.name) + 5e6)


def pending(selected, seeds, records, folder=experiments.CONFIGS):
    """List the runs to do, cheapest first and seed by seed: [(experiment, seed)].

    Args:
        selected: list of experiments.Experiment.
        seeds: how many, from 0.
    """
    loaded = [(each, config_lib.load(f"{folder}/{each.config}")) for each in selected]
    loaded.sort(key=lambda pair: expected_cost(pair[1]))
    return [
        (each, seed)
        for seed in range(seeds)
        for each, config in loaded
        if not is_recorded(records, config, seed)
    ]


def table(records, folder=experiments.CONFIGS):
    """Return the reports' figures beside ours, as Markdown: one row an experiment and kind of data."""
    from cifar_jax import models

    lines = [
        "| report | experiment | parameters | reported | ours | n | best epoch | last epoch | data, hardware |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for each in experiments.EXPERIMENTS:
        config = config_lib.load(f"{folder}/{each.config}")
        params = models.count_params(config.model.name)
        own = [record for record in records if _same(record, config)]
        row = [each.report, f"`{each.config}`", f"{params:,}", tables.reported(config.reported)]
        lines.append(f"| {' | '.join(row + _ours(own, config.reported))} |")
    return "\n".join(lines)


def _same(record, config):
    """Compare a record with a config, whatever its seed."""
    return not config_lib.differing({**record["values"], "seed": config.seed}, config)


def _metric(reported):
    return next(name for start, name in METRICS.items() if reported.metric.startswith(start))


def _ours(records, reported):
    if not records:
        return ["not yet run", "0", "", "", ""]
    kinds = sorted({f"{record['data']}, {record['hardware']}" for record in records})
    measured = [
        [r[name] for r in records] for name in (_metric(reported), "best_accuracy", "last_accuracy")
    ]
    on_test = any(record["values"].get("selection") == "test" for record in records)
    return [
        f"**{spread(measured[0])}**" + (" (chosen on the test set)" if on_test else ""),
        str(len(records)),
        *(spread(values) if None not in values else "-" for values in measured[1:]),
        "; ".join(kinds),
    ]


def spread(fractions):
    """Write mean and standard deviation in per cent: "61.53 ± 0.80", without the latter for one value."""
    values = [100 * value for value in fractions]
    mean = f"{statistics.mean(values):.2f}"
    return f"{mean} ± {statistics.stdev(values):.2f}" if len(values) > 1 else mean


def write_table(path, records):
    """Put the table between the marks of a Markdown file.

    Raises:
        UserError: the file has no such marks.
    """
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise UserError(f"{path} has no lines {BEGIN} and {END} to put the table between")
    files.write_text(path, f"{before}{begin}\n{table(records)}\n{end}{after}")
