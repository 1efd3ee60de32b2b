"""Lists the trainings of the five reports: their configs and the figures they report.

  python -m cifar_jax.experiments          a table
  python -m cifar_jax.experiments --json   for machines: a list of objects

Train one with: python -m cifar_jax.main --config CONFIG --workdir W
"""

import json
import pathlib
import sys

from cifar_jax import config as config_lib
from cifar_jax.config import experiments
from cifar_jax.console import endings, flags, tables
from cifar_jax.errors import UserError


def describe(experiment, folder=None):
    """Describe an experiment without running it, as JSON-able values.

    Args:
        experiment: Experiment.
        folder: of the config files; None for those of the package, which are called by name.
    Returns:
        dict: `report`, `id` (unique within its report), `config` (for --config), `model`, `params`, `epochs`, and
        `reported`: `value` (None where the report gives no figure), `metric`, `source`, `remarks`.
    Raises:
        ConfigError: the config can't be loaded.
    """
    from cifar_jax import models

    path = f"{folder}/{experiment.config}" if folder else experiment.config.replace(".py", "")
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

    columns = (
        "report",
        "experiment",
        "config",
        "parameters",
        "epochs",
        "reported",
        "metric",
        "source",
    )
    rows = []
    for each in descriptions:
        reported = each["reported"]
        row = (
            each["report"],
            each["id"],
            each["config"],
            f"{each['params']:,}",
            str(each["epochs"]),
            "" if reported["value"] is None else f"{reported['value']:.2f}",
            reported["metric"],
            reported["source"].partition(", ")[2],
        )
        rows.append(row)
    table = tables.Table("", columns, rows, left=(0, 1, 2, 6, 7))
    Console(width=max(Console().width, 200)).print(tables.to_rich(table))


@endings.guarded
def main(argv=None):
    """Run a command line and return its exit code."""
    parser = flags.make_parser("experiments", __doc__)
    parser.add_argument("--json", action="store_true", help="a list of objects")
    parser.add_argument(
        "--configs", metavar="FOLDER", help="of config files in place of the package's"
    )
    arguments = parser.parse_args(argv)
    folder = arguments.configs
    if folder and not pathlib.Path(folder).is_dir():
        raise UserError(f"no folder {folder}: name that of the config files with --configs")
    described = [describe(each, folder) for each in experiments.EXPERIMENTS]
    if arguments.json:
        print(json.dumps(described, indent=1))
    else:
        print_table(described)


if __name__ == "__main__":
    sys.exit(main())
