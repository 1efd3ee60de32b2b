"""Lists the trainings of the five reports: their configs and the figures they report.

  python -m cifar_jax.experiments          a table
  python -m cifar_jax.experiments --json   for machines: a list of objects

Train one with: python -m cifar_jax.main --config CONFIG --workdir W
"""

import json
import pathlib
import sys
from typing import NamedTuple

from cifar_jax import command_line
from cifar_jax import config as config_lib
from cifar_jax.errors import UserError


class Experiment(NamedTuple):
    """One training of a report. `config` is a file of the folder of configs, with its variant."""

    report: str
    id: str
    config: str


def _variants(report, file, *variants):
    return [Experiment(report, variant, f"{file}:{variant}") for variant in variants]


EXPERIMENTS = [
    *_variants("000", "plain_cnn.py", "model_1", "model_2", "model_3", "model_4"),
    *_variants(
        *("001", "modified_net.py", "baseline", "lr_0.0001", "lr_0.0005", "lr_0.005", "lr_0.01"),
        *("adam", "rmsprop", "adagrad", "label_smoothing", "origin", "modified"),
    ),
    *_variants("002", "selective_kernel_net.py", "lr_0.01", "lr_0.005", "lr_0.001"),
    Experiment("003", "basic", "basic_net.py"),
    *_variants("003", "wide_net.py", "wide", "gap", "attention"),
    Experiment("003", "resnet18_sgd", "resnet18.py:sgd"),
    Experiment("003", "resnet18_adam", "resnet18.py:adam"),
    Experiment("003", "resnet18_adam_low", "resnet18.py:adam_low"),
    Experiment("003", "resnet10", "resnet10.py:constant"),
    Experiment("003", "resnet10_plateau", "resnet10.py:plateau"),
    Experiment("003", "resnet18_dw", "resnet18_dw.py"),
    *_variants(
        *("004", "big_net.py", "base", "improved", "no_scheduler", "no_l2"),
        *("no_batch_norm", "no_dropout"),
    ),
]

CONFIGS = pathlib.Path(__file__).parent.parent / "configs"


def describe(experiment, folder=CONFIGS):
    """What is known of an experiment without running it, as JSON-able values.

    Args:
        experiment: Experiment.
        folder: of the config files.
    Returns:
        dict: `report`, `id` (unique within its report), `config` (for --config), `model`, `params`, `epochs`, and
        `reported`: `value` (None where the report gives no figure), `metric`, `source`, `remarks`.
    Raises:
        ConfigError: the config can't be loaded.
    """
    from cifar_jax import models

    path = f"{folder}/{experiment.config}"
    config = config_lib.load(path)
    return {
        "report": experiment.report,
        "id": experiment.id,
        "config": path,
        "model": config.model.name,
        "params": models.count_params(config.model.name),
        "epochs": config.total_epochs,
        "reported": config.reported.to_dict(),
    }


def print_table(descriptions):
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for title in ("report", "experiment", "config", "parameters", "epochs", "reported", "metric"):
        right = title in ("parameters", "epochs", "reported")
        table.add_column(title, justify="right" if right else "left", no_wrap=True)
    table.add_column("source")
    for each in descriptions:
        reported = each["reported"]
        table.add_row(
            each["report"],
            each["id"],
            each["config"],
            f"{each['params']:,}",
            str(each["epochs"]),
            "" if reported["value"] is None else f"{reported['value']:.2f}",
            reported["metric"],
            reported["source"].partition(", ")[2],
        )
    console = Console()
    Console(width=max(console.width, 200)).print(table)


@command_line.guarded
def main(argv=None):
    """Runs a command line and returns its exit code."""
    parser = command_line.make_parser("experiments", __doc__)
    parser.add_argument("--json", action="store_true", help="a list of objects")
    parser.add_argument("--configs", metavar="FOLDER", help="of the config files")
    arguments = parser.parse_args(argv)
    folder = pathlib.Path(arguments.configs or CONFIGS)
    if folder.is_relative_to(pathlib.Path.cwd()):
        folder = folder.relative_to(pathlib.Path.cwd())
    if not folder.is_dir():
        raise UserError(f"no folder {folder}: name that of the config files with --configs")
    found = [describe(each, folder) for each in EXPERIMENTS]
    if arguments.json:
        print(json.dumps(found, indent=1))
    else:
        print_table(found)


if __name__ == "__main__":
    sys.exit(main())
