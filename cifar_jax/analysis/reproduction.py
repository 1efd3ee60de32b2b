"""Records of reproduced trainings, and what is still to run."""

import datetime
import json
import pathlib

from cifar_jax import config as config_lib
from cifar_jax.config import experiments

ROOT = experiments.CONFIGS.parent
RECORDS = ROOT / "benchmarks" / "results" / "reproduction.jsonl"
# Of out-of-distribution detection; written by benchmarks/keep_ood.py.
OUTLIERS = RECORDS.with_name("ood.jsonl")
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
    return any(record["seed"] == seed for record in of_config(records, config))


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


def of_config(records, config):
    """List the records of this config, whatever their seed and the config's name."""
    return [
        record
        for record in records
        if not config_lib.differing({**record["values"], "seed": config.seed}, config)
    ]


def metric_of(reported):
    """Return the name in a record of the metric that a config's section `reported` is about."""
    return next(name for start, name in METRICS.items() if reported.metric.startswith(start))
