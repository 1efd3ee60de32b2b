"""Trains the reports' experiments and keeps what came out:

  python -m cifar_jax.reproduce --reports 001,004 --seeds 3 --budget-minutes 60

Runs the configs of cifar_jax.experiments, cheapest first, seed by seed; skips what is recorded for the same config and
data; appends each result to benchmarks/results/reproduction.jsonl and rebuilds the tables of README.md and
docs/results.md from it. No run begins once the budget is spent; one that was interrupted goes on from its checkpoint
the next time.
"""

import functools
import json
import pathlib
import sys
import time

from cifar_jax import config as config_lib
from cifar_jax.analysis import reproduction, reproduction_tables
from cifar_jax.config import experiments
from cifar_jax.console import endings, flags
from cifar_jax.errors import TrainingDiverged, UserError, nearest
from cifar_jax.machine import huge_pages

MOST_SEEDS = 100


def run(todo, arguments, records):
    """Train one run after the other until the budget is spent.

    Returns:
        how many were recorded, and the names of those that diverged, of which there is no record.
    """
    from cifar_jax import train

    deadline, recorded, diverged = time.monotonic() + 60 * arguments.budget_minutes, 0, []
    for each, seed in todo:
        if time.monotonic() > deadline:
            break
        config = config_lib.load(f"{experiments.CONFIGS}/{each.config}")
        if reproduction.is_recorded(records, config, seed):  # meanwhile, by its other name
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
        record = reproduction.to_record(each.config, summary, arguments.data_name)
        with reproduction.RECORDS.open("a") as file:
            file.write(json.dumps(record) + "\n")
        records.append(record)
        reproduction_tables.write(records)
        recorded += 1
    return recorded, diverged


@functools.partial(endings.guarded, interrupted=endings.GOES_ON)
def main(argv=None):
    """Run a command line and return its exit code."""
    parser = flags.make_parser("reproduce", __doc__)
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
    parser.add_argument("--table", action="store_true", help="only rebuild the tables")
    arguments = parser.parse_args(argv)
    if not 1 <= arguments.seeds <= MOST_SEEDS:
        raise UserError(f"--seeds is 1 to {MOST_SEEDS}, not {arguments.seeds}")
    if not arguments.list:
        experiments.check_checkout()
    records = reproduction.read_records()
    if arguments.table:
        print(f"{' and '.join(reproduction_tables.write(records))}: from {len(records)} records")
        return
    selected = select(arguments.reports, arguments.experiments)
    todo = reproduction.pending(selected, arguments.seeds, records)
    if arguments.list:
        print("\n".join(f"{each.config} seed {seed}" for each, seed in todo))
        return
    recorded, diverged = run(todo, arguments, records)
    print(f"{recorded} runs recorded, {len(todo) - recorded - len(diverged)} to do")
    if diverged:
        raise TrainingDiverged(f"the loss became NaN or infinite: {', '.join(diverged)}")


def select(reports, ids):
    """Return the experiments of the reports and ids named, comma-separated; empty = all.

    Raises:
        UserError: one that does not exist.
    """
    chosen = experiments.EXPERIMENTS
    for kind, text, field in (("report", reports, "report"), ("experiment", ids, "id")):
        wanted = [name for name in text.split(",") if name]
        known = list(dict.fromkeys(getattr(each, field) for each in experiments.EXPERIMENTS))
        for name in wanted:
            if name not in known:
                raise UserError(f"there is no {kind} {name!r}; {nearest(name, known)}")
        chosen = [each for each in chosen if not wanted or getattr(each, field) in wanted]
    return chosen


if __name__ == "__main__":
    huge_pages.restart()
    sys.exit(main())
