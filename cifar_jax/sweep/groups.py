"""The groups of a sweep: runs that differ in numbers only, and are one program."""

import copy
import itertools
from typing import NamedTuple

import ml_collections

from cifar_jax import models
from cifar_jax.config import flatten
from cifar_jax.config.schema import fields
from cifar_jax.train import hyper

# The numbers that a step reads from TrainState.hyper. Of the first three, whether there is any at
# all is part of the program; it is on where one run has it, and 0 there computes what off would.
SWITCHES = ("optimizer.momentum", "optimizer.weight_decay", "loss.label_smoothing")
NUMBERS = ("seed", "optimizer.learning_rate", "model.dropout", *SWITCHES)


class Group(NamedTuple):
    """Runs of one structure."""

    runs: tuple  # of cells.Trial
    config: ml_collections.ConfigDict  # of the runs, with the greatest of each number
    dropout_from_hyper: bool  # whether their rates differ


def structure(config):
    """Return what must be equal in two configs whose runs are trained as one program: a tuple."""
    known, numbers = fields(), set(NUMBERS)
    if models.lookup(config.model.name).num_params is None:
        numbers.discard("model.dropout")  # a user's own layer need not take an array for its rate
    return tuple(
        (name, value)
        for name, value in flatten(config).items()
        if name not in numbers and known[name].affects_result
    )


def make_groups(runs):
    """Sort runs into groups, in the order in which their first runs come.

    Args:
        runs: list of cells.Trial.
    Returns:
        list of Group.
    """
    by_structure = {}
    for run in runs:
        by_structure.setdefault(structure(run.config), []).append(run)
    return [make_group(members) for members in by_structure.values()]


def make_group(runs):
    """Make the Group of runs of one structure."""
    config = copy.deepcopy(runs[0].config)
    for switch in SWITCHES:
        section, leaf = switch.split(".")
        config[section][leaf] = max(run.config[section][leaf] for run in runs)
    rates = {hyper.dropout_rate(run.config) for run in runs}
    if len(rates) > 1:
        config.model.dropout = max(rates)
    return Group(tuple(runs), config, len(rates) > 1)


def parts(sizes, least, count):
    """Decide into how many parts to split each group, so that there are `count` in all where there are as many runs.

    Args:
        sizes: runs of each group.
        least: parts that each group has to have.
        count: of parts; the greatest are split until there are as many.
    Returns:
        list of int.
    """
    into = list(least)
    while sum(into) < min(count, sum(sizes)):
        greatest = max(range(len(sizes)), key=lambda i: sizes[i] / into[i])
        into[greatest] += 1
    return into


def split(group, count):
    """Split a group into so many, as even as can be: a list of Group."""
    bounds = [len(group.runs) * i // count for i in range(count + 1)]
    return [make_group(group.runs[start:stop]) for start, stop in itertools.pairwise(bounds)]
