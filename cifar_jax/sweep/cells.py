"""The runs of a sweep: cells, which are named changes of a base config, and the seeds of each."""

import copy
import dataclasses
import itertools
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import ml_collections
import numpy as np

from cifar_jax import config as config_lib
from cifar_jax.errors import ConfigError, nearest

Cell: TypeAlias = dict[str, Any]  # field -> value
Distribution: TypeAlias = Callable[[np.random.Generator], Any]
# Where the last word of a field's name says too little, or a shorter word is at home in the field.
SHORT = {
    "optimizer.learning_rate": "lr",
    "model.name": "model",
    "dataset.name": "dataset",
    "optimizer.name": "optimizer",
    "schedule.name": "schedule",
    "loss.name": "loss",
    "ema.decay": "ema",
}


@dataclasses.dataclass(frozen=True)
class Sweep:
    """The sweep that get_sweep() of a sweep's file returns.

    base: ConfigDict, as of a config file's get_config().
    cells: name -> {field: value}, such as {"lr_0.1": {"optimizer.learning_rate": 0.1}}; of `grid`, of
        `random_search`, or written out. A cell may set `reported.value`.
    baseline: the cell that the others are compared with; "" = the first.
    """

    base: ml_collections.ConfigDict
    cells: dict[str, Cell]
    baseline: str = ""


class Trial(NamedTuple):
    """One run of a sweep."""

    cell: str
    seed: int
    config: ml_collections.ConfigDict  # checked, with that seed

    @property
    def name(self) -> str:
        return f"{self.cell}/{self.seed}"


def grid(axes: Mapping[str, Sequence[Any]]) -> dict[str, Cell]:
    """Make cells for every combination of values.

    Args:
        axes: {field: list of values}.
    Returns:
        {name: {field: value}}, in the order of the axes, the last one running fastest.
    Raises:
        ConfigError: two cells of one name.
    """
    combinations = itertools.product(*axes.values())
    return _named(dict(zip(axes, values, strict=True)) for values in combinations)


def of_variants(
    file: str | os.PathLike[str], names: Sequence[str]
) -> tuple[ml_collections.ConfigDict, dict[str, Cell]]:
    """Make a base and cells from the variants of a config file, such as the trainings of one of a report's tables.

    Args:
        file: of get_config(variant), or its name.
        names: of the variants; the first is the base.
    Returns:
        (ConfigDict, {variant: {field: value}}).
    Raises:
        ConfigError: as of config.load.
    """
    base, *others = (config_lib.load(f"{file}:{name}") for name in names)

    def cell(config):
        changed = {field: value for field, _, value in config_lib.differing(base, config)}
        return {**changed, "reported.value": config.reported.value}

    return base, dict(zip(names, map(cell, [base, *others]), strict=True))


def uniform(low: float, high: float) -> Distribution:
    """Make a distribution for random_search: uniform between two numbers."""
    return lambda random: random.uniform(low, high)


def log_uniform(low: float, high: float) -> Distribution:
    """Make a distribution for random_search: the logarithm is uniform, as suits rates and decays."""
    return lambda random: math.exp(random.uniform(math.log(low), math.log(high)))


def choice(values: Sequence[Any]) -> Distribution:
    """Make a distribution for random_search: one of a list, each as likely."""
    return lambda random: values[int(random.integers(len(values)))]


def random_search(
    distributions: Mapping[str, Distribution], count: int, seed: int
) -> dict[str, Cell]:
    """Draw cells at random, each field for itself.

    Bergstra and Bengio, Random Search for Hyperparameters-Parameter Optimization, 2012,
    https://jmlr.org/papers/v13/bergstra12a.html

    Args:
        distributions: {field: numpy Generator -> value}, such as log_uniform(1e-4, 1e-1).
        count: how many cells.
        seed: of the draws. Floats are rounded to four digits, so that a cell's name says its value.
    Returns:
        {name: {field: value}}.
    Raises:
        ConfigError: two cells of one name: a choice among fewer than `count`.
    """
    random = np.random.default_rng(seed)

    def draw(distribution):
        value = distribution(random)
        return float(f"{value:.4g}") if isinstance(value, float) else value

    return _named(
        {field: draw(distribution) for field, distribution in distributions.items()}
        for _ in range(count)
    )


def _named(all_overrides):
    cells = {}
    for overrides in all_overrides:
        name = "-".join(
            f"{SHORT.get(field, field.rpartition('.')[2])}_{_text(value)}"
            for field, value in overrides.items()
        )
        if name in cells:
            raise ConfigError(f"two cells of the sweep are called {name!r}")
        cells[name] = overrides
    return cells


def _text(value):
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    if isinstance(value, (tuple, list)):
        return "x".join(map(_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def load(path: str | os.PathLike[str]) -> Sweep:
    """Load the Sweep of a file, its base checked and with defaults filled in.

    Args:
        path: "FILE" or "NAME", also with ":VARIANT", as config.load's; the names are those of configs/sweeps/.
    Raises:
        ConfigError: no such file or name, or what it returns is no sweep.
    """
    sweep = config_lib.call(path, "get_sweep")
    if not isinstance(sweep, Sweep) or not sweep.cells:
        raise ConfigError(f"{path}: get_sweep() must return a cifar_jax.sweep.Sweep with cells")
    if sweep.baseline and sweep.baseline not in sweep.cells:
        near = nearest(sweep.baseline, sweep.cells)
        raise ConfigError(f"baseline {sweep.baseline!r} is no cell; {near}")
    return dataclasses.replace(
        sweep, base=config_lib.check(sweep.base), baseline=sweep.baseline or next(iter(sweep.cells))
    )


def require_plugins(folder):
    """Raise UserError where the sweep of a folder needs a plugin that is not imported."""
    from cifar_jax.runs import workdir  # which imports JAX

    noted = workdir.recorded(folder, "sweep.json")
    cells, noted = noted.get("cells"), noted.get("plugins")
    for cell in cells if isinstance(cells, dict) and isinstance(noted, dict) else ():
        workdir.require_plugins(folder, {"config": cells[cell], "plugins": noted.get(cell)})


def check_overrides(sweep, names):
    """Raise ConfigError where a field of the command line is one that the cells set themselves."""
    for name in names:
        if cells := [cell for cell, changed in sweep.cells.items() if name in changed]:
            raise ConfigError(
                f"{name} is set by the sweep itself (cell {cells[0]}): change it in the sweep's file"
            )


def runs(sweep: Sweep, count: int) -> list[Trial]:
    """List every run of a sweep: each cell with the seeds base.seed, base.seed + 1, ...

    Args:
        sweep: Sweep, as of `load`.
        count: seeds for each cell.
    Returns:
        list of Trial, cell by cell.
    Raises:
        ConfigError: a cell with a field or value that does not exist or fit; named.
    """
    return [
        Trial(cell, seed, _config(sweep.base, cell, overrides, seed))
        for cell, overrides in sweep.cells.items()
        for seed in range(sweep.base.seed, sweep.base.seed + count)
    ]


def _config(base, cell, overrides, seed):
    config = copy.deepcopy(base)
    try:
        for name, value in {**overrides, "seed": seed}.items():
            config_lib.check_name(name)
            if name == "seed" and "seed" in overrides:
                raise ConfigError("seeds are the sweep's: --config.seed is the first of --runs")
            section, _, leaf = name.rpartition(".")
            with config.unlocked():
                target = config[section] if section else config
                # A ConfigDict holds its fields to their first type; `check` says it better.
                del target[leaf]
                target[leaf] = value
        return config_lib.check(config)
    except ConfigError as error:
        raise ConfigError(f"cell {cell}: {error}") from error
