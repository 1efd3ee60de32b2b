"""Plans of the reports' trainings, and of a few on many chips, by the compilers of accelerators that are not here.

    python benchmarks/plans.py --devices v5e:2x2,v6e:2x2                  # pip install -e '.[plan-tpu]'
    python benchmarks/plans.py --devices a100:1,h100:1,h100:8,b200:1      # pip install -e '.[plan-cuda]'
    python benchmarks/plans.py --scale v5e,h100                           # the cases of SCALE

Appends to benchmarks/results/plans.jsonl what it does not hold yet of these versions, a line each: memory, collectives
and cycles of the training program. All are estimates of a compiler, none a measurement. `--again TEXT` compiles anew
those whose case has TEXT in it. Experiments that differ in rates only are one program, compiled once.
"""

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks/results/plans.jsonl"
sys.path.insert(0, str(ROOT))
COMPILERS = "libtpu", "jax-cuda13-plugin"
# What a program does not depend on, beside what groups.structure leaves out: the host's, and factors of a rate.
HOSTS = "schedule", "total_epochs", "checkpoint", "early_stopping", "selection"
# name -> (config, fields, runs of a sweep, devices).
CHIPS = ("v5e:1x1", "v5e:2x2", "v5e:4x4", "v5e:8x8", "v5e:16x16")
SCALE = {
    "strong": ("resnet18.py:strong", {"batch_size": 512}, 0, CHIPS),
    "weak": ("resnet18.py:strong", {"batch_size": 16}, 0, CHIPS),  # a chip
    "sweep": ("modified_net.py:baseline", {}, 1024, ("v5e:16x16",)),
    "wide": ("wide_resnet_28_10.py", {}, 0, ("h100:1", "h100:8")),
}


def programs():
    """The reports' distinct programs: a list of lists of Experiments, by what compiles alike."""
    from cifar_jax import config as config_lib
    from cifar_jax.config import experiments
    from cifar_jax.sweep import groups

    alike = {}
    for each in experiments.EXPERIMENTS:
        fields = groups.structure(config_lib.load(str(experiments.CONFIGS / each.config)))
        key = tuple(field for field in fields if field[0].split(".")[0] not in HOSTS)
        alike.setdefault(key, []).append(each)
    return list(alike.values())


def job_of(case, count):
    """The jobs.Job of a case: a config of configs/, or a name of SCALE; `count` is of devices."""
    from cifar_jax import config as config_lib
    from cifar_jax.config import experiments
    from cifar_jax.planning import jobs
    from cifar_jax.sweep import cells

    name, fields, runs, _ = SCALE.get(case, (case, {}, 0, ()))
    config = config_lib.load(str(experiments.CONFIGS / name))
    config.update_from_flattened_dict(fields)
    if case == "weak":
        config.batch_size *= count
    config = config_lib.check(config)
    of_runs = cells.runs(cells.Sweep(config, {"baseline": {}}, "baseline"), runs) if runs else ()
    return jobs.Job(config, *jobs.KNOWN["cifar10"], tuple(of_runs))


def recorded():
    """The record: {(case, devices): row}, the last one of each."""
    rows = map(json.loads, RESULTS.read_text().splitlines()) if RESULTS.exists() else ()
    return {(row["case"], row["devices"]): row for row in rows}


def versions():
    """Of JAX and of the compilers that are installed: a dict."""
    found = {}
    for name in ("jax", *COMPILERS):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--devices", default="", help="of the reports' trainings")
    parser.add_argument("--scale", default="", help="kinds of devices of the cases of SCALE")
    parser.add_argument("--again", help="part of a case's name")
    flags = parser.parse_args()
    from cifar_jax import plan

    os.environ.update(plan.ENVIRONMENT)
    from cifar_jax.planning import devices as devices_lib
    from cifar_jax.planning import plans

    asked = [
        (each[0].config, devices)
        for devices in flags.devices.split(",")
        if devices
        for each in programs()
    ]
    asked += [
        (case, devices)
        for case, (*_, several) in SCALE.items()
        for devices in several
        if devices.split(":")[0] in flags.scale.split(",")
    ]
    here, held = versions(), recorded()
    for case, name in asked:
        row = held.get((case, name))
        fresh = row and all(here.get(each) == version for each, version in row["versions"].items())
        if fresh and not (flags.again and flags.again in case):
            continue
        (devices,) = devices_lib.parse(name)
        compiler = {"tpu": COMPILERS[0], "cuda": COMPILERS[1]}[devices.about.platform]
        job = job_of(case, devices.count)
        result = plans.plan(job, devices, only_train=True)
        for derived in ("devices", "seconds"):
            del result[derived]
        row = {
            "date": datetime.date.today().isoformat(),
            "versions": {each: here[each] for each in ("jax", compiler)},
            "case": case,
            "devices": name,
        } | result
        with RESULTS.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(
            f"{case} {name}: {result['memory']['used'] / 1e6:,.0f} MB a device, {result['train']['collectives']}, "
            f"{result['train']['compile_seconds']} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
