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

# Data set -> training images of each class, test images.
KNOWN = {
    "cifar10": ((5_000,) * 10, 10_000),
    "cifar100": ((500,) * 100, 10_000),
    "svhn_cropped": (
        (4_948, 13_861, 10_585, 8_497, 7_458, 6_882, 5_727, 5_595, 5_045, 4_659),
        26_032,
    ),
    "mnist": ((5_923, 6_742, 5_958, 6_131, 5_842, 5_421, 5_918, 6_265, 5_851, 5_949), 10_000),
    "fashion_mnist": ((6_000,) * 10, 10_000),
    "digits": ((142, 146, 142, 146, 145, 146, 145, 143, 139, 144), 359),
}


class Job(NamedTuple):
    """A training on such data."""

    config: Any  # checked ConfigDict; of a group the group's
    class_sizes: tuple  # training images of each class, the validation set's among them
    test_count: int
    runs: tuple = ()  # of a sweep's group: cells.Trial

    @property
    def image_shape(self):
        return (self.config.dataset.image_size,) * 2 + (3,)

    @property
    def count(self):
        return sum(self.class_sizes)

    @property
    def classes(self):
        return len(self.class_sizes)

    @property
    def trained_on(self):
        # As data.dataset.stratified_split divides each class.
        held_out = self.config.dataset.validation_fraction
        return self.count - sum(round(held_out * size) for size in self.class_sizes)

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
    name, colon, variant = given.config.partition(":")
    sweep = cells.load(f"{named.find(name)}{colon}{variant}")
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
    """Return the training images of each class and the test images of a data set, by the flags or as it is known.

    Where --train_count or --classes is given, classes are as equal as can be.
    """
    of_class, test_count = KNOWN.get(name, ((), None))
    if given.train_count or given.classes:
        count, classes = given.train_count or sum(of_class), given.classes or len(of_class)
        of_class = tuple(count * (i + 1) // classes - count * i // classes for i in range(classes))
    if not sum(of_class):
        raise ConfigError(
            f"the sizes of {name} are not known here: give --train_count N, --test_count N, --classes N"
        )
    return of_class, given.test_count or test_count or max(1, sum(of_class) // 5)


def is_sweep(path):
    """Return whether a config file, or one of a name, is a sweep's, by its text; False where there is none."""
    try:
        with open(named.find(path.partition(":")[0]), encoding="utf-8") as file:
            tree = ast.parse(file.read())
    except (ConfigError, OSError, SyntaxError, ValueError):
        return False
    return any(isinstance(node, ast.FunctionDef) and node.name == "get_sweep" for node in tree.body)
