"""Says what a training would ask of accelerators that are not here, as their own compilers see it:

  python -m cifar_jax.plan --config resnet18_dw --devices v5e:2x2
  python -m cifar_jax.plan --config resnet18:sgd --devices v5e:2x2,h100:8,cpu:8 --config.batch_size=512
  python -m cifar_jax.plan --config sweeps/quickstart --runs 8 --devices v5e:4x4

--config FILE[:VARIANT]  a config file or a sweep's file, whose largest group is planned; or such a name.
--config.NAME=VALUE      changes a field of it.
--devices LIST           v4, v5e, v5p, v6e, tpu7x:TOPOLOGY such as v5e:2x2; a100, h100, h200, b200:N; cpu:N.
--fit                    also finds the largest batch that fits, to an eighth; compiles several times.
--train_count N          training images, where the data set is none that is known here (--test_count, --classes).
--runs N                 of a sweep: seeds for each cell.
--json                   for machines: a list of objects.

The run's own programs are compiled; no data set and no accelerator is needed. TPUs: pip install 'cifar-jax[plan-tpu]',
NVIDIA's cards: 'cifar-jax[plan-cuda]', with Python 3.12 or newer. Cycles and times are estimates, not measurements.

Exit codes: 0 done, 2 wrong config, devices or command line, or not enough memory on any of the devices.
"""

import json
import os
import re
import sys

from cifar_jax.console import endings, flags, program

# Compilers for devices that are not there, in a process that computes nothing.
ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "CIFAR_JAX_TUNING": "off",  # the CPU's options are no other compiler's
    "JAX_SKIP_CUDA_CONSTRAINTS_CHECK": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",  # of any kind: else the library looks for one, and says so
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


def parse(argv):
    """Read a command line: flags, and the rest for flags.override."""
    from absl import flags as absl_flags

    def define(values):
        options = {"flag_values": values}
        absl_flags.DEFINE_string("devices", None, "Which.", **options)
        absl_flags.DEFINE_boolean("fit", False, "Find the largest batch.", **options)
        absl_flags.DEFINE_boolean("json", False, "For machines.", **options)
        absl_flags.DEFINE_integer("train_count", None, "Images.", 10, 10**9, **options)
        absl_flags.DEFINE_integer("test_count", None, "Images.", 1, 10**9, **options)
        absl_flags.DEFINE_integer("classes", None, "Classes.", 2, 10**6, **options)
        absl_flags.DEFINE_integer("runs", 1, "Seeds.", 1, 10**5, **options)

    return flags.read_flags(argv, define, with_workdir=False)


@endings.guarded
def main(argv):
    """Run a command line and return its exit code."""
    if flags.asks_for_help(argv):
        print(program.as_called(__doc__))
        return 0
    os.environ.update(ENVIRONMENT)  # before JAX, which a plugin may import
    cpus = [int(count) for argument in argv for count in re.findall(r"\bcpu:(\d{1,4})\b", argument)]
    os.environ["JAX_NUM_CPU_DEVICES"] = str(max([1, *cpus]))
    given, rest = parse(argv)
    from cifar_jax.planning import devices as devices_lib
    from cifar_jax.planning import jobs

    wanted, loaded = devices_lib.parse(given.devices or ""), jobs.load(given, rest)
    from rich.console import Console

    from cifar_jax.console.tables import to_rich
    from cifar_jax.planning import planner, tables

    say = Console(stderr=True, highlight=False).print
    job, dropout_from_hyper, title = jobs.of_command(given, loaded)
    results = [
        (each.name, planner.plan_or_advise(job, each, say, given.fit, dropout_from_hyper))
        for each in wanted
    ]
    if given.json:
        print(
            json.dumps(
                [result or {"devices": name, "fits": False} for name, result in results], indent=1
            )
        )
    else:
        Console(highlight=False, width=None).print(to_rich(tables.of_plans(title, results)))
    return 0 if any(result for _, result in results) else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv))
