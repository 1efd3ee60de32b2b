"""Trains and evaluates the model that a config describes.

  python -m cifar_jax.main --config quickstart --workdir runs/quickstart
  python -m cifar_jax.main --config wide_net:gap --workdir runs/gap_net \\
      --config.dataset.archive=cifar-10-binary.tar.gz --config.seed=1

--config FILE[:VARIANT]  a Python file with get_config(), or the name of one that comes with the package:
                         see below.
--config.NAME=VALUE      changes a field of it; the fields are listed below.
--workdir FOLDER         takes config.json, checkpoints/, metrics.jsonl, summary.json and TensorBoard
                         events. Started again with the same config, the run goes on where it stopped.
--plugin FILE            imports models and more of your own: a Python file or a module; see docs/plugins.md.
--dry_run                says what would run and, by its first steps, how long it would take; nothing is kept.
--verbose                says what was set for speed (docs/performance.md).

Several processes, on one host or many, train as one run; see docs/clusters.md. Slurm's srun, Open MPI's
mpirun and GKE's TPU pods need no flag. Else:

--distributed            lets JAX find the processes, as on TPU VMs and Kubernetes; --nodistributed: one process.
--coordinator HOST:PORT --processes N --process I
                         process I of N, from 0; HOST:PORT is a free port of process 0's host.
--ray_workers N          starts the processes as N workers of a Ray cluster, again if one is lost.
--ray_resources LIST     what each worker is to have, such as CPU:8,GPU:1. Default: CPU:1.

Exit codes: 0 done, 2 wrong config, data or command line, 3 loss became NaN or infinite, 4 the workdir's disk
is full or fails, 5 another process of the run is gone (134, an abort, where JAX noticed first),
130 Ctrl-C and 143 SIGTERM (during training both save first, at the end of the log interval).

A GPU that is not used, where the data are, too little memory, how to cite: docs/questions.md.
"""

import os

from cifar_jax.console import endings, flags, program
from cifar_jax.errors import ConfigError
from cifar_jax.machine import huge_pages, joining, places, ray_cluster, ray_workers


def parse(argv):
    """Read the config and the workdir that a command line asks for.

    Args:
        argv: list of str, the program's name first.
    Returns:
        (checked ConfigDict, workdir str).
    Raises:
        ConfigError: what is wrong with the command line, and the nearest valid name.
    """
    config, given, _ = read(argv)
    return config, given.workdir


def read(argv):
    """Read the config, all flags, and this process's place among others as of places.place."""
    from absl import flags as absl_flags

    from cifar_jax import config as config_lib

    def define(values):
        places.define_flags(values)
        ray_workers.define_flags(values)
        absl_flags.DEFINE_boolean("dry_run", False, "Keep nothing.", flag_values=values)

    given, rest = flags.read_flags(argv, define)
    try:
        config = flags.override(config_lib.load(given.config), rest, list(given))
    except ConfigError:  # a run that goes on may need a plugin
        from cifar_jax.runs import workdir

        folder = given.workdir or ""
        workdir.require_plugins(folder, workdir.recorded(folder))
        raise
    return config, given, places.place(given, os.environ)


def main(argv):
    """Run a command line; see endings.run."""
    if flags.asks_for_help(argv):
        from cifar_jax import config as config_lib
        from cifar_jax import models
        from cifar_jax.config import named

        parts = [
            __doc__,
            f"Configs: {', '.join(named.names())}.\n",
            f"Models: {', '.join(models.names())}.\n",
            f"Fields of a config, with their defaults:\n{config_lib.describe()}",
        ]
        print(program.as_called("\n".join(parts)))
        return
    config, given, place = read(argv)
    if given.verbose:
        print(huge_pages.remark(os.environ))
    if given.ray_workers:
        train_on_ray(argv, given)
        return
    with joining.joined(place):
        from cifar_jax import train

        if given.dry_run:
            train.dry_run(config)
        else:
            train.train_and_evaluate(config, given.workdir)


def train_on_ray(argv, given):
    """Let the workers of a Ray cluster be the processes of a run."""
    each = ray_workers.resources(given)
    processes = given.ray_workers

    def arguments(address, process):
        place = f"--coordinator={address}", f"--processes={processes}", f"--process={process}"
        return ([*argv, "--ray_workers=0", *place],)

    def standing():
        return ray_workers.newest(os.path.join(given.workdir, "checkpoints"))

    with ray_cluster.connected():
        ray_workers.call_together("cifar_jax.main:main", arguments, processes, each, standing)


if __name__ == "__main__":
    huge_pages.restart()
    endings.run(main)
