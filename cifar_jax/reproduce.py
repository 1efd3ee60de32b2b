"""Trains the reports' experiments and keeps what came out:

  python -m cifar_jax.reproduce --reports 001,004 --seeds 3 --budget-minutes 60

Runs the configs of cifar_jax.experiments, cheapest first, seed by seed; skips what is recorded for the same config and
data; appends each result to benchmarks/results/reproduction.jsonl and rebuilds the table of README.md from it. No run
begins once the budget is spent; one that was interrupted goes on from its checkpoint the next time.
"""

import datetime
import functools
import json
import pathlib
import statistics
import sys
import time

from cifar_jax import command_line, experiments, files, tuning
from cifar_jax import config as config_lib
from cifar_jax.errors import TrainingDiverged, UserError

ROOT = experiments.CONFIGS.parent
RECORDS = ROOT / "benchmarks" / "results" / "reproduction.jsonl"
BEGIN, END = "<!-- reproduction: begin -->", "<!-- reproduction: end -->"

MOST_SEEDS = 100

# The metric that a config's `reported.metric` begins with -> its name in a record.
METRICS = {"test accuracy": "accuracy", "test F1": "f1"}


def read_records(path=RECORDS):
    """The records, a list of dicts; empty where there is no file."""
    path = pathlib.Path(path)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def to_record(config_name, summary, data_name):
    """A record from the summary of a run, as of train.train_and_evaluate.

    Args:
        config_name: "modified_net.py:adam".
        summary: dict.
        data_name: what the data is called in tables, such as "CIFAR-10".
    """
    chosen = summary["checkpoints"][summary["selected"]]["test"]
    return {
        "date": datetime.date.today().isoformat(),
        "config": config_name,
        "seed": summary["config"]["seed"],
        "values": summary["config"],
        "data": data_name,
        "dataset_fingerprint": summary["dataset_fingerprint"],
        "params": summary["params"],
        "selected": summary["selected"],
        "epochs": summary["epochs"],
        "stopped_early": summary["stopped_early"],
        **{name: chosen[name] for name in ("accuracy", "precision", "recall", "f1")},
        "per_class_accuracy": chosen["per_class_accuracy"],
        "best_accuracy": _test_accuracy(summary, "best"),
        "last_accuracy": _test_accuracy(summary, "last"),
        "seconds": summary["train_seconds"],
        "hardware": summary["hardware"],
        "versions": summary["versions"],
    }


def _test_accuracy(summary, which):
    found = summary["checkpoints"].get(which)
    return found and found["test"]["accuracy"]


def is_recorded(records, config, seed):
    """Whether there is a record of this config, field by field, with this seed.

    By whatever name: two tables of a report may print the same training.
    """
    return any(record["seed"] == seed and _same(record, config) for record in records)


def expected_cost(config):
    """What a run costs beside others: multiply-adds of its training, with a share for each step."""
    from cifar_jax.models import cost

    steps = config.total_epochs * (50_000 // config.batch_size)
    return steps * (config.batch_size * cost.multiply_adds(config.model.name) + 5e6)


def pending(selected, seeds, records, folder=experiments.CONFIGS):
    """The runs to do, cheapest first and seed by seed: [(experiment, seed)].

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
    """The reports' figures beside ours, as Markdown: one row an experiment and kind of data."""
    from cifar_jax import models

    lines = [
        "| report | experiment | parameters | reported | ours | n | best epoch | last epoch | data, hardware |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for each in experiments.EXPERIMENTS:
        config = config_lib.load(f"{folder}/{each.config}")
        params = models.count_params(config.model.name)
        mine = [record for record in records if _same(record, config)]
        row = [each.report, f"`{each.config}`", f"{params:,}", _reported(config.reported)]
        lines.append(f"| {' | '.join(row + _ours(mine, config.reported))} |")
    return "\n".join(lines)


def _same(record, config):
    """Whether a record is of this config, whatever its seed."""
    return not config_lib.differing({**record["values"], "seed": config.seed}, config)


def _reported(reported):
    if reported.value is None:
        return "-"
    return f"{reported.value:.2f}" + (" (F1)" if _metric(reported) == "f1" else "")


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
    """Mean and standard deviation in per cent: "61.53 ± 0.80", without the latter for one value."""
    values = [100 * value for value in fractions]
    mean = f"{statistics.mean(values):.2f}"
    return f"{mean} ± {statistics.stdev(values):.2f}" if len(values) > 1 else mean


def write_table(path, records):
    """Puts the table between the marks of a Markdown file.

    Raises:
        UserError: the file has no such marks.
    """
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise UserError(f"{path} has no lines {BEGIN} and {END} to put the table between")
    files.write_text(path, f"{before}{begin}\n{table(records)}\n{end}{after}")


def run(todo, arguments, records):
    """Trains one run after the other until the budget is spent.

    Returns:
        how many were recorded, and the names of those that diverged, of which there is no record.
    """
    from cifar_jax import train

    deadline, done, diverged = time.monotonic() + 60 * arguments.budget_minutes, 0, []
    for each, seed in todo:
        if time.monotonic() > deadline:
            break
        config = config_lib.load(f"{experiments.CONFIGS}/{each.config}")
        if is_recorded(records, config, seed):  # meanwhile, by its other name
            continue
        config.seed = seed
        config.dataset.data_dir = arguments.data_dir
        config.tensorboard = False
        folder = pathlib.Path(arguments.workdir) / each.config.replace(":", "_") / str(seed)
        print(f"{each.config}, seed {seed}", flush=True)
        try:
            summary = train.train_and_evaluate(config, folder)
        except TrainingDiverged as error:
            print(error, flush=True)
            diverged.append(f"{each.config} (seed {seed})")
            continue
        record = to_record(each.config, summary, arguments.data_name)
        with RECORDS.open("a") as file:
            file.write(json.dumps(record) + "\n")
        records.append(record)
        write_table(ROOT / "README.md", records)
        done += 1
    return done, diverged


@functools.partial(command_line.guarded, interrupted=command_line.GOES_ON)
def main(argv=None):
    """Runs a command line and returns its exit code."""
    parser = command_line.make_parser("reproduce", __doc__)
    parser.add_argument("--reports", default="", help="such as 001,004; default: all")
    parser.add_argument("--experiments", default="", help="ids, such as lr_0.01,adam; default: all")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each, from seed 0")
    parser.add_argument("--budget-minutes", type=float, default=60, help="no run begins later")
    parser.add_argument(
        "--workdir", metavar="FOLDER", default="runs/reproduction", help="of the runs"
    )
    parser.add_argument(
        "--data_dir", metavar="FOLDER", default="", help="dataset.data_dir of the configs"
    )
    parser.add_argument("--data_name", default="CIFAR-10", help="what the data is called in tables")
    parser.add_argument("--list", action="store_true", help="only say what would be run")
    parser.add_argument("--table", action="store_true", help="only rebuild the table of README.md")
    arguments = parser.parse_args(argv)
    if not 1 <= arguments.seeds <= MOST_SEEDS:
        raise UserError(f"--seeds is 1 to {MOST_SEEDS}, not {arguments.seeds}")
    records = read_records()
    if arguments.table:
        write_table(ROOT / "README.md", records)
        return
    selected = select(arguments.reports, arguments.experiments)
    todo = pending(selected, arguments.seeds, records)
    if arguments.list:
        print("\n".join(f"{each.config} seed {seed}" for each, seed in todo))
        return
    done, diverged = run(todo, arguments, records)
    print(f"{done} runs recorded, {len(todo) - done - len(diverged)} to do")
    if diverged:
        raise TrainingDiverged(f"the loss became NaN or infinite: {', '.join(diverged)}")


def select(reports, ids):
    """The experiments of the reports and ids named, comma-separated; empty = all.

    Raises:
        UserError: one that does not exist.
    """
    chosen = experiments.EXPERIMENTS
    for what, text, of in (("report", reports, "report"), ("experiment", ids, "id")):
        wanted = [name for name in text.split(",") if name]
        known = list(dict.fromkeys(getattr(each, of) for each in experiments.EXPERIMENTS))
        for name in wanted:
            if name not in known:
                raise UserError(f"there is no {what} {name!r}; {config_lib.nearest(name, known)}")
        chosen = [each for each in chosen if not wanted or getattr(each, of) in wanted]
    return chosen


if __name__ == "__main__":
    tuning.apply()
    sys.exit(main())
