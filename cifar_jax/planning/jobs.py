"""The training that a command line asks a plan of."""

import ast
import dataclasses
from typing import Any, NamedTuple

import numpy as np

from cifar_jax import config as config_lib
from cifar_jax.config import named
from cifar_jax.console import flags
from cifar_jax.errors import ConfigError
from cifar_jax.sweep import cells

# Data set -> training images, test images, classes.
KNOWN = {
    "cifar10": (50_000, 10_000, 10),
    "cifar100": (50_000, 10_000, 100),
    "svhn_cropped": (73_257, 26_032, 10),
    "mnist": (60_000, 10_000, 10),
    "fashion_mnist": (60_000, 10_000, 10),
    "digits": (1_438, 359, 10),
}


class Job(NamedTuple):
    """A training on such data."""

    config: Any  # checked ConfigDict; of a group the group's
    count: int  # training images, the validation set among them
    test_count: int
    classes: int
    runs: tuple = ()  # of a sweep's group: cells.Trial

    @property
    def image_shape(self):
        return (self.config.dataset.image_size,) * 2 + (3,)

    @property
    def trained_on(self):
        # As data.dataset.stratified_split divides classes of one size.
        of_class = self.count / self.classes * self.config.dataset.validation_fraction
        return self.count - self.classes * round(of_class)

    @property
    def steps_per_epoch(self):
        return self.trained_on // self.config.batch_size

    @property
    def data_bytes(self):
        """Bytes of the training images and, where there are any, the validation images."""
        return self.count * int(np.prod(self.image_shape))


def load(given, rest):
    """Load what a command line plans: a checked ConfigDict, or a cells.Sweep. This needs no JAX.

    Args:
        given, rest: of flags.read_flags.
    Raises:
        ConfigError: as of config.load and cells.load.
    """
    if not is_sweep(given.config):
        return flags.override(config_lib.load(given.config), rest, list(given))
    sweep = cells.load(given.config)
    cells.check_overrides(sweep, flags.overridden(rest))
    return dataclasses.replace(sweep, base=flags.override(sweep.base, rest, list(given)))


def of_command(given, loaded):
    """Make the job of a command line; of a sweep that of its largest group.

    Args:
        given: of flags.read_flags.
        loaded: of `load`.
    Returns:
        (Job, groups.Group.dropout_from_hyper, a title).
    Raises:
        ConfigError: a data set whose sizes are not known, or a batch that is larger than it.
    """
    config, runs, which, several = loaded, (), False, ""
    if isinstance(loaded, cells.Sweep):
        from cifar_jax.sweep import groups  # which imports JAX

        planned = groups.make_groups(cells.runs(loaded, given.runs))
        group = max(planned, key=lambda each: len(each.runs))
        config, runs, which = group.config, group.runs, group.dropout_from_hyper
        several = f"{len(runs):,} runs of "
    job = Job(config, *sizes(config.dataset.name, given), runs)
    if config.batch_size > job.trained_on:
        raise ConfigError(
            f"batch_size={config.batch_size} is more than the {job.trained_on} training images"
        )
    return job, which, f"{given.config}: {several}{config.model.name}"


def sizes(name, given):
    """Return how many training images, test images and classes a data set has, by the flags or as it is known."""
    known = KNOWN.get(name, (None, None, None))
    train, classes = given.train_count or known[0], given.classes or known[2]
    if train is None or classes is None:
        raise ConfigError(
            f"the sizes of {name} are not known here: give --train_count N, --test_count N, --classes N"
        )
    return train, given.test_count or known[1] or max(1, train // 5), classes


def is_sweep(path):
    """Return whether a config file, or one of a name, is a sweep's, by its text; False where there is none."""
    try:
        with open(named.find(path.partition(":")[0]), encoding="utf-8") as file:
            tree = ast.parse(file.read())
    except (ConfigError, OSError, SyntaxError, ValueError):
        return False
    return any(isinstance(node, ast.FunctionDef) and node.name == "get_sweep" for node in tree.body)
