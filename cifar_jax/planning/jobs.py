"""The training that a command line asks a plan of."""

import ast
import dataclasses

from cifar_jax import config as config_lib
from cifar_jax.console import flags
from cifar_jax.errors import ConfigError
from cifar_jax.planning.programs import Job
from cifar_jax.sweep import cells, groups

# Data set -> training images, test images, classes.
KNOWN = {
    "cifar10": (50_000, 10_000, 10),
    "cifar100": (50_000, 10_000, 100),
    "svhn_cropped": (73_257, 26_032, 10),
    "mnist": (60_000, 10_000, 10),
    "fashion_mnist": (60_000, 10_000, 10),
    "digits": (1_438, 359, 10),
}


def of_command(given, rest):
    """Make the job of a command line.

    Args:
        given, rest: of flags.read_flags.
    Returns:
        (Job, groups.Group.dropout_from_hyper, a title).
    Raises:
        ConfigError: as of config.load and cells.load; or a data set whose sizes are not known.
    """
    if is_sweep(given.config):
        sweep = cells.load(given.config)
        cells.check_overrides(sweep, flags.overridden(rest))
        sweep = dataclasses.replace(sweep, base=flags.override(sweep.base, rest, list(given)))
        group = max(
            groups.make_groups(cells.runs(sweep, given.runs)), key=lambda each: len(each.runs)
        )
        config, runs, which = group.config, group.runs, group.dropout_from_hyper
        title = f"{given.config}: {len(runs):,} runs of {config.model.name}"
    else:
        config = flags.override(config_lib.load(given.config), rest, list(given))
        runs, which = (), False
        title = f"{given.config}: {config.model.name}"
    train, test, classes = sizes(config.dataset.name, given)
    if config.batch_size > round(train * (1 - config.dataset.validation_fraction)):
        raise ConfigError(f"batch_size={config.batch_size} is more than the training images")
    return Job(config, train, test, classes, runs), which, title


def sizes(name, given):
    """Return how many training images, test images and classes a data set has, by the flags or as it is known."""
    known = KNOWN.get(name, (None, None, 10))
    train = given.train_count or known[0]
    if train is None:
        raise ConfigError(
            f"the sizes of {name} are not known here: give --train_count N, --test_count N, --classes N"
        )
    return train, given.test_count or known[1] or max(1, train // 5), given.classes or known[2]


def is_sweep(path):
    """Return whether a config file is a sweep's, by its text; False where there is none."""
    try:
        with open(path.partition(":")[0], encoding="utf-8") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return False
    return any(isinstance(node, ast.FunctionDef) and node.name == "get_sweep" for node in tree.body)
