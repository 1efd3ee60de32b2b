"""The rest of a user's minute: imports, the first step, evaluation, preparing and loading data, memory.

    python benchmarks/startup.py --data_dir ~/tensorflow_datasets --archive cifar-10-binary.tar.gz
    git worktree add ../base 217357a
    python benchmarks/startup.py --data_dir ~/tensorflow_datasets --cold resnet18_dw.py,wide_net.py:gap --base ../base

Each row is measured `--rounds` times and shown as least, median and greatest, beside its goal. With --data_dir there is
CIFAR-10, prepared; with --archive the official archive, which is prepared anew in a temporary folder on one core.

    import            seconds that `import cifar_jax`, and `import cifar_jax.train`, which is all that a training needs,
                      take beyond `import jax`; the goal is the former's
    first step        seconds from the start of `python -m cifar_jax.main --config configs/quickstart.py` to the metrics
                      of the first step, with a compilation cache that an earlier run has filled
    evaluation        of 10,000 images, batch selection and metrics included, over the pure forward time of as many
                      images that are on the device as normalised batches: a ratio
    prepare           seconds of CPU time to prepare CIFAR-10 from the archive
    load              seconds to load the prepared set, checksums included, in a process of its own
    memory            GiB at most of a training of configs/resnet18_dw.py (batch 128), over its first steps

With --cold nothing but the seconds to the first step of these configs is measured, without a compilation cache; with
--base the same of an earlier commit, in the folder --base, the two in turn.

Appends to benchmarks/results/startup.jsonl.
"""

import argparse
import json
import os
import pathlib
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import records

ROOT = pathlib.Path(__file__).parent.parent
RESULTS = pathlib.Path(__file__).parent / "results" / "startup.jsonl"
GOALS = {
    "import, s": 0.2,
    "import of training, s": None,
    "first step, s": 6,
    "evaluation, basic_net": 1.2,
    "evaluation, resnet18_dw": 1.2,
    "prepare, s": 60,
    "load, s": 1,
    "memory, GiB": 2,
}


def python(program, **environment):
    """What a program prints last, in a process of its own, as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def import_seconds(module):
    return python(
        f"import time, jax; start = time.perf_counter(); import {module}; print(time.perf_counter() - start)"
    )


def start_training(folder, config, *overrides, root=ROOT):
    command = [sys.executable, "-m", "cifar_jax.main", "--config", f"configs/{config}"]
    command += ["--workdir", str(folder), *overrides]
    return subprocess.Popen(
        command,
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_for_steps(folder, process, count):
    """Returns when metrics.jsonl has so many lines."""
    file = folder / "metrics.jsonl"
    while not (file.exists() and file.read_bytes().count(b"\n") >= count):
        if process.poll() is not None:
            raise RuntimeError(f"the training ended with exit code {process.returncode}")
        time.sleep(0.005)


def stop(process):
    """Ends a training; its peak memory in bytes."""
    process.send_signal(signal.SIGTERM)
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return usage.ru_maxrss * 1024


def first_step_seconds(config="quickstart.py", *overrides, root=ROOT):
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        overrides = ("--config.log_every_steps=1", *overrides)
        process = start_training(folder, config, *overrides, root=root)
        wait_for_steps(pathlib.Path(folder), process, 1)
        seconds = time.perf_counter() - started
        stop(process)
    return seconds


def commit(folder):
    """The commit that is checked out in a folder, abbreviated."""
    command = ["git", "-C", folder, "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"--base={folder} is no checkout: git worktree add {folder} COMMIT makes one")
    return done.stdout.strip()


def cold_starts(configs, data_dir, base):
    """{"first step of CONFIG, SIDE": a function that measures it}."""
    overrides = ("--config.compilation_cache=off", f"--config.dataset.data_dir={data_dir}")
    roots = {"s": ROOT} | ({"base, s": pathlib.Path(base).resolve()} if base else {})
    return {
        f"{config}, {side}": lambda config=config, root=root: first_step_seconds(
            config, *overrides, root=root
        )
        for config in configs
        for side, root in roots.items()
    }


def memory_gib(data_dir):
    with tempfile.TemporaryDirectory() as folder:
        overrides = ("--config.log_every_steps=3", f"--config.dataset.data_dir={data_dir}")
        process = start_training(folder, "resnet18_dw.py", *overrides)
        wait_for_steps(pathlib.Path(folder), process, 4)
        return stop(process) / 2**30


def evaluation_ratio(model, batch_size=256):
    """Time of evaluating sides.IMAGES images over that of as many images' forward passes, in this process."""
    import roof
    import sides

    from cifar_jax.machine import compilation

    recipe, compiled, state, data = sides.make_parts(model, batch_size, "sgd")
    forward = compilation.jit(lambda variables, x: recipe.model.apply(variables, x, train=False))
    batch = recipe.normalize(data.images(slice(batch_size)))
    evaluation = roof.best(lambda: compiled.evaluate(state.variables, data), seconds=10)
    eight = roof.best(lambda: [forward(state.variables, batch) for _ in range(8)], seconds=10)
    return evaluation / (eight / 8 * sides.IMAGES / batch_size)


def prepare_seconds(archive):
    with tempfile.TemporaryDirectory() as folder:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "cifar_jax.data.prepare", "--archive", archive]
        subprocess.run([*command, "--data_dir", folder], cwd=ROOT, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def load_seconds(data_dir):
    return python(
        "import time; from cifar_jax import data; start = time.perf_counter(); "
        f"data.load('cifar10', {data_dir!r}, log=lambda _: None); print(time.perf_counter() - start)"
    )


def in_process(call):
    return python(
        f"import sys; sys.path.insert(0, 'benchmarks'); import startup; print(startup.{call})"
    )


def measures(archive, data_dir):
    """{a name of GOALS: a function that measures it}."""
    measurements = {
        "import, s": lambda: import_seconds("cifar_jax"),
        "import of training, s": lambda: import_seconds("cifar_jax.train"),
        "first step, s": first_step_seconds,
    }
    for model in ("basic_net", "resnet18_dw"):
        measurements[f"evaluation, {model}"] = lambda model=model: in_process(
            f"evaluation_ratio({model!r})"
        )
    if archive:
        measurements["prepare, s"] = lambda: prepare_seconds(archive)
    if data_dir:
        measurements["load, s"] = lambda: load_seconds(data_dir)
        measurements["memory, GiB"] = lambda: memory_gib(data_dir)
    return measurements


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--archive", default="", help="cifar-10-binary.tar.gz")
    parser.add_argument("--data_dir", default="", help="folder with the prepared cifar10")
    parser.add_argument("--cold", default="", help="configs, with commas")
    parser.add_argument("--base", default="", help="folder of an earlier commit, for --cold")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    archive, data_dir = (
        each and str(pathlib.Path(each).expanduser().resolve())
        for each in (options.archive, options.data_dir)
    )
    hardware = python(
        "import json; from cifar_jax.machine import runtime; print(json.dumps(runtime.hardware()))"
    )
    of_base = {"base": commit(options.base)} if options.base else {}
    if options.cold:
        measured = cold_starts(options.cold.split(","), data_dir, options.base)
    else:
        first_step_seconds()  # fills the compilation cache
        measured = measures(archive, data_dir)
    print(f"{hardware}\n{'':>24} {'least':>8} {'median':>8} {'most':>8}  goal")
    rows = {name: [] for name in measured}
    for _ in range(options.rounds):
        for name, measure in measured.items():
            rows[name].append(measure())
    for name, row in rows.items():
        three = (min(row), statistics.median(row), max(row))
        print(f"{name:>24} {' '.join(f'{x:8.2f}' for x in three)}  {GOALS.get(name) or ''}")
    records.append(RESULTS, {"hardware": hardware, **of_base, "measured": rows})


if __name__ == "__main__":
    main()
