"""Trains many runs as one program: cells of a sweep, several seeds each.

  python -m cifar_jax.sweep --config quickstart --workdir runs/quickstart_sweep --runs 3

--config FILE[:VARIANT]  a Python file with get_sweep(), or the name of one that comes with the package:
                         see below.
--config.NAME=VALUE      changes a field of the sweep's base; see python -m cifar_jax.main --help.
--runs N                 seeds for each cell: the base's seed and the N - 1 that follow. Default 1.
--memory_gb GB           memory for all devices together; a group of runs that needs more by estimate is split.
                         Default: the accelerators', or half of the host's.
--plugin FILE            imports models and more of your own, as of cifar_jax.main.
--workdir FOLDER         takes results.csv (a row for each run and epoch), runs.csv (a row for each run),
                         summary.md (means, intervals, comparisons), figures, sweep.json, checkpoints/ and runs/,
                         a folder for each run with a result: --workdir FOLDER/runs/NAME of the other commands.
                         Started again with the same command, the sweep goes on where it stopped.

Runs that differ only in seed, learning rate, momentum, weight decay, label smoothing or dropout are
trained together; others in groups one after the other. A run whose loss becomes NaN or infinite is
marked as diverged, and the others go on.

Several processes, on one host or many, share out the runs; see python -m cifar_jax.main --help for the flags.
Or several machines train whole groups, in one workdir that all of them see (docs/clusters.md):

--groups N               splits the greatest groups until there are N; the plan stays as the sweep began.
--group I                trains one of the groups only, from 0, beside processes that train the others. The
                         command without it then joins them: it tests all runs and writes the tables.
--ray_workers N          hands the groups out to N workers of a Ray cluster, and joins them.
--ray_resources LIST     what each worker is to have, such as CPU:8,GPU:1. Default: CPU:1.

Exit codes: 0 done, 2 wrong config, data or command line, 4 the workdir's disk is full or fails, 5 another
process is gone, 130 Ctrl-C and 143 SIGTERM (during training both save first, at the end of the log interval).
"""

import dataclasses
import os

from cifar_jax.config import named
from cifar_jax.console import endings, flags, program
from cifar_jax.errors import ConfigError
from cifar_jax.machine import huge_pages, joining, places, ray_workers

MOST_RUNS = 1000  # of a cell: each has its own optimizer state and its own lines in the tables


def parse(argv):
    """Read the sweep that a command line asks for.

    Args:
        argv: list of str, the program's name first.
    Returns:
        (cells.Sweep, flags with `runs`, `workdir` and `memory_gb`).
    Raises:
        ConfigError: what is wrong with the command line, and the nearest valid name.
    """
    from absl import flags as absl_flags

    from cifar_jax.sweep import cells

    def define(values):
        absl_flags.DEFINE_integer("runs", 1, "Seeds.", 1, MOST_RUNS, flag_values=values)
        places.define_flags(values)
        ray_workers.define_flags(values)
        absl_flags.DEFINE_integer("groups", 1, "At least.", 1, flag_values=values)
        absl_flags.DEFINE_integer("group", None, "The only one.", 0, flag_values=values)
        absl_flags.DEFINE_float("memory_gb", None, "Memory.", 1e-3, 1e6, flag_values=values)

    given, rest = flags.read_flags(argv, define)
    try:
        sweep = cells.load(given.config)
        cells.check_overrides(sweep, flags.overridden(argv))
        base = flags.override(sweep.base, rest, list(given))
        sweep = dataclasses.replace(sweep, base=base)
        cells.runs(sweep, 1)  # Every cell is checked before JAX starts.
    except ConfigError:  # a sweep that goes on may need a plugin
        cells.require_plugins(given.workdir)
        raise
    return sweep, given


def arguments(sweep, given):
    """Return what driver.train_sweep takes, from what `parse` returned."""
    return sweep, given.runs, given.workdir, given.memory_gb, None, None, given.groups


def main(argv):
    """Run a command line; see endings.run."""
    if flags.asks_for_help(argv):
        print(f"{program.as_called(__doc__)}\nSweeps: {', '.join(named.names(named.SWEEPS))}.")
        return
    sweep, given = parse(argv)
    if given.verbose:
        print(huge_pages.remark(os.environ))
    if given.ray_workers:
        if given.group is not None:
            raise ConfigError("--ray_workers trains all groups: leave out --group")
        from cifar_jax.sweep import on_ray

        on_ray.train_sweep(argv, given, ray_workers.resources(given))
        return
    with joining.joined(places.place(given, os.environ)):
        from cifar_jax.sweep import driver, shares

        if given.group is None:
            driver.train_sweep(*arguments(sweep, given))
        else:
            shares.train_group(given.group, *arguments(sweep, given))


if __name__ == "__main__":
    huge_pages.restart()
    endings.run(main)
