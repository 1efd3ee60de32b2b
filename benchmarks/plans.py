"""Plans of the reports' trainings, and of a few on many chips, by the compilers of accelerators that are not here.

    python benchmarks/plans.py --devices v5e:2x2,v6e:2x2                  # pip install -e '.[plan-tpu]'
    python benchmarks/plans.py --devices a100:1,h100:1,h100:8,b200:1      # pip install -e '.[plan-cuda]'
    python benchmarks/plans.py --scale v5e,h100                           # the cases of SCALE

Appends to benchmarks/results/plans.jsonl what it does not hold yet of these versions, a line each: memory, collectives
and cycles of the training program. All are estimates of a compiler, none a measurement. `--again` compiles anew what it
holds, `--cases A,B` only these. Experiments that differ in rates only are one program, compiled once.

    python benchmarks/plans.py --devices v5e:2x2,h100:1 --check --seconds 100

compiles and appends nothing: it holds what it compiles to the record, and to what holds of any version, and says so in
a line each; exit code 1 where one is not so. The first is always compiled, and another one while fewer seconds have
passed; the place to begin in the list moves on by one with each commit, so that all have their turn. Of other versions
than the record's, which `--versions` prints as pip takes them, memory is not held to it, and the line says so: another
compiler's memory is no fault of ours, and what a step sends is decided by the program.

    python benchmarks/plans.py --page                                     # the tables of docs/scaling.md

writes them anew of the record; a test compares.
"""

import argparse
import contextlib
import importlib.metadata
import json
import math
import os
import pathlib
import subprocess
import sys
import time

import records

ROOT = pathlib.Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks/results/plans.jsonl"
sys.path.insert(0, str(ROOT))
COMPILERS = "libtpu", "jax-cuda13-plugin"
FIRST, WITHIN = "basic_net.py", 0.02
PAGE = ROOT / "docs/scaling.md"
SIX = "v5e:2x2", "v6e:2x2", "a100:1", "h100:1", "h100:8", "b200:1"
# What a program does not depend on, beside what groups.structure leaves out: the host's, and factors of a rate.
HOSTS = "schedule", "total_epochs", "checkpoint", "early_stopping", "selection"
SQUARES = "v5e:1x1", "v5e:2x2", "v5e:4x4", "v5e:8x8", "v5e:16x16"
# name -> (config, fields, runs of a sweep, devices).
SCALE = {
    "strong": ("resnet18.py:strong", {"batch_size": 512}, 0, SQUARES),
    "weak": ("resnet18.py:strong", {"batch_size": 16}, 0, SQUARES),  # a chip
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
    # A plan asks of the runs how many they are.
    alike = cells.runs(cells.Sweep(config, {"baseline": {}}), 1) * runs
    return jobs.Job(config, *jobs.KNOWN["cifar10"], tuple(alike))


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


def page(text):
    """Put the record's tables into the text of docs/scaling.md, between their marks: str."""
    from cifar_jax.analysis import reproduction_tables

    for name, table in (("reports", of_reports()), ("scale", of_scale())):
        text = reproduction_tables.between_marks(PAGE, text, name, table)
    return text


def derived(row):
    """Of a row: (jobs.Job, bytes a device, plans.time_of), which take no compiler."""
    from cifar_jax.planning import devices as devices_lib
    from cifar_jax.planning import plans

    (devices,) = devices_lib.parse(row["devices"])
    job = job_of(row["case"], devices.count)
    used = plans.memory_of(job, devices, row["device_count"], row)["used"]
    return job, used, plans.time_of(job, devices, row)


def of_reports():
    """The reports' trainings on SIX: memory a device, what a step sends, and the time of a step where there is one."""
    from cifar_jax.console.tables import Table
    from cifar_jax.planning import plans

    def cell(row):
        if row is None:
            return "-"
        _, used, seconds = derived(row)
        # What the peak of a device allows is no estimate of so small a step.
        step = f", {1e3 * seconds['step']:,.3f}" if seconds["basis"] == plans.BY_CYCLES else ""
        return f"{used / 1e6:,.0f}, {sent(row) / 1e6:,.2f}{step}"

    held, rows = recorded(), []
    for experiments in programs():
        file, _, first = experiments[0].config.partition(":")
        variants = ", ".join(filter(None, (each.config.partition(":")[2] for each in experiments)))
        cells = [held.get((experiments[0].config, devices)) for devices in SIX]
        batch = job_of(experiments[0].config, 1).config.batch_size
        rows.append((f"`{file}` {variants}".strip(), f"{batch}", *map(cell, cells)))
    return Table("", ("training", "batch", *SIX), rows)


def of_scale():
    """The cases of SCALE: memory, what is sent, and the two parts of a step's time."""
    from cifar_jax.console.tables import Table

    held, rows = recorded(), []
    for case, (config, *_, several) in SCALE.items():
        for devices in several:
            row = held.get((case, devices))
            if row is None:
                continue
            job, used, seconds = derived(row)
            images = job.config.batch_size * max(1, len(job.runs))
            collectives = sum(each["count"] for each in row["train"]["collectives"].values())
            computing = seconds["step"] - seconds["communication"]
            rows.append(
                (
                    f"`{config}`" + (f", {len(job.runs):,} runs" if job.runs else ""),
                    devices,
                    f"{images:,}",
                    f"{used / 1e6:,.0f}",
                    f"{collectives}",
                    f"{sent(row) / 1e6:,.2f}",
                    f"{1e3 * computing:,.3f}",
                    f"{1e3 * seconds['communication']:,.3f}",
                    f"{images / seconds['step']:,.0f}",
                )
            )
    columns = ("training", "devices", "images a step", "MB a device", "collectives", "MB sent")
    return Table("", (*columns, "computing, ms", "sending, ms", "images/s"), rows, left=(0, 1))


def times(records):
    """Tabulate the cases that have no runs, and several devices, of SCALE: what the two parts of a step take.

    Args:
        records: lines of plans.jsonl.
    Returns:
        list of dicts: `case`, `devices`, `count`, `images` of a step, `computing` and `sending` in milliseconds.
    """
    rows = []
    for row in records:
        if row["case"] in ("strong", "weak"):
            job, _, seconds = derived(row)
            sending = 1e3 * seconds["communication"]
            parts = {"computing": 1e3 * seconds["step"] - sending, "sending": sending}
            about = {"case": row["case"], "devices": row["devices"], "count": row["device_count"]}
            about["images"] = job.config.batch_size
            rows.append(about | {name: round(each, 4) for name, each in parts.items()})
    return sorted(rows, key=lambda row: (row["case"], row["count"]))


def sent(row):
    return sum(each["bytes"] for each in row["train"]["collectives"].values())


def turn(cases):
    """The first case, the least, and then all others from another place on with each commit."""
    command = ["git", "-C", str(ROOT), "rev-list", "--count", "HEAD"]
    counted = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    first = min(cases, key=lambda case: case != FIRST)
    others = [case for case in cases if case != first]
    place = int(counted or 0) % max(1, len(others))
    return [first, *others[place:], *others[:place]]


def faults(case, result, row):
    """What is wrong with a plan: a list of str.

    Its step sends what docs/scaling.md says, within 2 %, exchanges nothing with the host and copies no data set. Where
    there is a row of the same versions, its memory and collectives are the row's, within 2 %.
    """
    found, train = [], result["train"]
    formula = result["formula_bytes"]
    if formula is not None and not any(
        near(sent(result), each) for each in (formula, halved(case, formula))
    ):
        found.append(f"a step sends {sent(result):,} bytes, by docs/scaling.md {formula:,}")
    for name, words in (
        ("host_operations", "exchanges with the host"),
        ("data_copies", "copies of the data set"),
    ):
        if train[name]:
            found.append(f"{train[name]} {words} in an interval")
    if row:
        for name in ("argument_bytes", "temporary_bytes", "output_bytes"):
            if not near(train[name], row["train"][name]):
                found.append(f"{name} {train[name]:,}, recorded {row['train'][name]:,}")
        kinds = train["collectives"], row["train"]["collectives"]
        counts, sizes = (
            [{kind: each[part] for kind, each in side.items()} for side in kinds]
            for part in ("count", "bytes")
        )
        if counts[0] != counts[1] or not all(
            near(size, sizes[1][kind]) for kind, size in sizes[0].items()
        ):
            found.append(f"collectives {kinds[0]}, recorded {kinds[1]}")
    return found


def halved(case, formula):
    """The formula's bytes where the gradient of a training in bfloat16 is sent so, as a TPU's compiler has it."""
    return formula / 2 if job_of(case, 1).config.dtype == "bfloat16" else formula


def near(value, recorded):
    return abs(value - recorded) <= WITHIN * max(abs(recorded), abs(value))


def check(asked, seconds):
    """Hold plans to the record; returns whether all are as they are to be."""
    from cifar_jax.planning import devices as devices_lib
    from cifar_jax.planning import plans

    here, held, good = versions(), recorded(), True
    for name in dict.fromkeys(devices for _, devices in asked):
        started, done = time.monotonic(), 0
        (devices,) = devices_lib.parse(name)
        for case in turn([case for case, devices in asked if devices == name]):
            if done and time.monotonic() - started > seconds:
                break
            row = held.get((case, name))
            of = {each: row and row["versions"].get(each, here[each]) for each in here}
            result = plans.plan(job_of(case, devices.count), devices, only_train=True)
            wrong = faults(case, result, row if of == here else None)
            good, done = good and not wrong, done + 1
            about = (
                ""
                if of == here
                else "; there is no record"
                if row is None
                else f"; the record is of {of}"
            )
            print(
                f"{case} {name}: {'; '.join(wrong) or 'holds'}{about}; {result['train']['compile_seconds']} s",
                flush=True,
            )
    return good


def record(case, name, here):
    """Compile a case for devices: a row."""
    from cifar_jax.planning import devices as devices_lib
    from cifar_jax.planning import plans

    (devices,) = devices_lib.parse(name)
    compiler = {"tpu": COMPILERS[0], "cuda": COMPILERS[1]}[devices.about.platform]
    result = plans.plan(job_of(case, devices.count), devices, only_train=True)
    kept = "device_count", "batch_size", "train", "formula_bytes"
    return {
        "versions": {each: here[each] for each in ("jax", compiler)},
        "case": case,
        "devices": name,
    } | {each: result[each] for each in kept}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--devices", default="", help="of the reports' trainings")
    parser.add_argument("--scale", default="", help="kinds of devices of the cases of SCALE")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--cases", help="configs or names of SCALE")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--seconds", type=float, default=math.inf, help="of each of the devices")
    parser.add_argument("--versions", action="store_true")
    parser.add_argument("--page", action="store_true")
    flags = parser.parse_args()
    if flags.page:
        PAGE.write_text(page(PAGE.read_text()))
        return
    if flags.versions:
        of_record = {}
        for row in recorded().values():
            of_record |= row["versions"]
        parts = {"jax": ("jax", "jaxlib"), COMPILERS[1]: (COMPILERS[1], "jax-cuda13-pjrt")}
        for name, version in of_record.items():
            print(*(f"{each}=={version}" for each in parts.get(name, (name,))))
        return
    from cifar_jax import plan

    os.environ.update(plan.ENVIRONMENT)
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
    if flags.cases:
        asked = [(case, name) for case, name in asked if case in flags.cases.split(",")]
    if flags.check:
        sys.exit(not check(asked, flags.seconds))
    here, held = versions(), recorded()
    for case, name in asked:
        row = held.get((case, name))
        if row and not flags.again and row["versions"].items() <= here.items():
            continue
        row = record(case, name, here)
        records.append(RESULTS, row)
        print(
            f"{case} {name}: {row['train']['collectives']}, {row['train']['compile_seconds']} s",
            flush=True,
        )


if __name__ == "__main__":
    from cifar_jax.console import endings

    sys.exit(endings.guarded(main)())
