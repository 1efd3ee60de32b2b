"""Accelerators' programs as their compilers see them, on a machine without one: an estimate, not a measurement.

    pip install 'jax[tpu]'     # Python 3.12 or newer
    python benchmarks/compilers.py --devices v5e:2x2 --configs basic_net.py,resnet18_dw.py
    pip install 'jax[cuda13]'
    python benchmarks/compilers.py --devices h100:1 --configs resnet18_dw.py --dtype bfloat16

Compiles the training interval and the evaluation of each config, as the main job does on such devices, and appends to
benchmarks/results/compilers.jsonl: bytes a device for arguments and temporaries, the collectives of a step, the
operations that the host launches in a step, and for TPUs the cycles that the compiler writes beside its operations,
those of one step and those of a whole call.
"""

import argparse
import collections
import dataclasses
import datetime
import json
import os
import pathlib
import re
import sys
import time

ROOT = pathlib.Path(__file__).parent.parent
RESULTS = pathlib.Path(__file__).parent / "results" / "compilers.jsonl"
sys.path.insert(0, str(ROOT))
os.environ["CIFAR_JAX_TUNING"] = "off"  # the CPU's options are no other compiler's
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("JAX_SKIP_CUDA_CONSTRAINTS_CHECK", "1")

IMAGES = 50_000
CARDS = pathlib.Path(__file__).parent / "cards"
SHOWN = False  # whether to print the operations of a step
KINDS = "all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter"
# Of a GPU's program: operations that take no launch of their own.
NO_LAUNCH = {
    *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional"),
    *("iota", "after-all", "all-reduce-done", "copy-done", "async-done"),
}


def devices_of(text):
    """The devices of such as "v5e:2x2" or "h100:8", described and not there."""
    from jax.experimental import topologies

    name, _, shape = text.partition(":")
    card = CARDS / f"{name}.txt"
    if card.exists():
        described = topologies.get_topology_desc(
            platform="cuda", topology=f"1x1x{shape or 1}", target_config=card.read_text()
        )
    else:
        described = topologies.get_topology_desc(platform="tpu", topology_name=text)
    return described.devices


def compiled_programs(config, devices):
    """Yield (name, seconds, steps of a call, compiled program) of a training's programs on such devices.

    Args:
        config: checked ConfigDict, of CIFAR-10.
        devices: of `devices_of`.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np

    from cifar_jax.data import dataset as dataset_lib
    from cifar_jax.machine import mesh as mesh_lib
    from cifar_jax.models.ops import choice
    from cifar_jax.train import hyper, setup, state, steps
    from cifar_jax.train import spread as spread_lib

    mesh = jax.sharding.Mesh(np.array(devices), (mesh_lib.AXIS,))
    whole = mesh_lib.replicated(mesh)
    classes = tuple(str(n) for n in range(10))
    sizes = {"train": IMAGES, "test": IMAGES // 5}
    facts = dataset_lib.KNOWN["cifar10"]
    dataset = dataset_lib.Dataset("cifar10", classes, *facts, sizes, "", None)
    trained_on = round(IMAGES * (1 - config.dataset.validation_fraction))
    per_epoch = trained_on // config.batch_size
    count = min(config.log_every_steps, per_epoch)

    def on_devices(tree):
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=whole), tree)

    def split(number):
        rows, labels = np.broadcast_to(np.uint8(0), (number, 3072)), np.zeros(number, np.int32)
        return on_devices(steps.Data(rows, labels, (32, 32, 3)))

    platform = "gpu" if devices[0].platform in ("gpu", "cuda") else "tpu"
    with choice.formulations_of(platform):
        recipe = setup.make_recipe(config, dataset, per_epoch)
        spread = spread_lib.Spread(mesh, config.parallel.backend, config.parallel.batch_norm)
        size = -(-recipe.eval_batch_size // mesh.size) * mesh.size
        recipe = dataclasses.replace(recipe, spread=spread, eval_batch_size=size)
        programs = steps.make_programs(recipe, whole)

        def start(key):
            numbers = hyper.from_config(config)
            options = setup.state_options(config)
            return state.initial_state(
                recipe.model, recipe.optimizer, numbers, key, (32, 32, 3), **options
            )

        first = on_devices(jax.eval_shape(start, jax.random.PRNGKey(0)))
        order = on_devices(jnp.zeros(trained_on, jnp.int32))
        calls = {
            "train": (programs.train_steps, (first, split(trained_on), order, count), count),
            "evaluate": (
                programs.evaluate,
                (first.variables, split(IMAGES // 5)),
                -(-IMAGES // 5 // size),
            ),
        }
        for name, (program, arguments, length) in calls.items():
            started = time.perf_counter()
            compiled = program.lower(*arguments).compile()
            yield name, time.perf_counter() - started, length, compiled


def computations(hlo):
    """The lines of each computation of a compiled program, by its name."""
    parts, current = {}, None
    for line in hlo.splitlines():
        if opening := re.match(r"(?:ENTRY )?%?([\w.\-]+) .*\{$", line):
            current = parts.setdefault(opening[1], [])
        elif current is not None and line.startswith("  "):
            current.append(line.strip())
    return parts


def kind_of(line):
    """The operation of a line of a computation, such as "fusion"."""
    bare = re.sub(
        r"\{[^{}]*\}|/\*.*?\*/", "", line
    )  # without layouts and the numbers of a tuple's parts
    operation = re.search(r"= (?:\(.*?\)|\S+) ([a-z][\w\-]*)\(", bare)
    return operation[1] if operation else ""


def figures(hlo):
    """What a compiled program has in one step of its loop, the longest one, and in all else.

    Returns:
        dict: "collectives" of a step by kind, "launches" of a step, "cycles" of a step, "cycles_besides".
    """
    parts = computations(hlo)
    bodies = {
        name
        for lines in parts.values()
        for line in lines
        for name in re.findall(r"body=%?([\w.\-]+)", line)
    }
    body = max(bodies, key=lambda name: len(parts[name]), default=None)
    lines = parts.get(body, [])
    kinds = collections.Counter(map(kind_of, lines))
    inside = sum(map(cycles_of, lines))
    everything = sum(cycles_of(line) for each in parts.values() for line in each)
    if SHOWN:
        for line in lines:
            if kind_of(line) and kind_of(line) not in NO_LAUNCH:
                name = re.search(r'op_name="([^"]*)"', line)
                print(
                    f"{cycles_of(line):>9} {kind_of(line):12} {shape_of(line):40} {name[1] if name else line[:60]}"
                )
    return {
        "collectives": {
            kind: number
            for kind, number in kinds.items()
            if re.fullmatch(rf"({KINDS})(-start)?", kind)
        },
        "launches": sum(n for kind, n in kinds.items() if kind and kind not in NO_LAUNCH),
        "cycles": inside,
        "cycles_besides": everything - inside,
    }


def shape_of(line):
    """The type of what an operation gives, shortened."""
    return re.sub(r"\{[^}]*\}", "", line.split(" = ", 1)[1])[:40].split(") ")[0]


def cycles_of(line):
    """The compiler's estimate for an operation; 0 where it gives none."""
    estimate = re.search(r'"estimated_cycles":"(\d+)"', line)
    return int(estimate[1]) if estimate else 0


def measure(name, devices, dtype):
    """One row of the results."""
    import jax

    from cifar_jax import config as config_lib
    from cifar_jax.config import experiments

    config = config_lib.load(f"{experiments.CONFIGS}/{name}")
    config.dtype = dtype or config.dtype
    row = {
        "date": datetime.date.today().isoformat(),
        "config": name,
        "devices": devices,
        "dtype": config.dtype,
        "batch_size": config.batch_size,
        "jax": jax.__version__,
    }
    for program, seconds, length, compiled in compiled_programs(config, devices_of(devices)):
        memory = compiled.memory_analysis()
        row[program] = {
            "compile_seconds": round(seconds, 1),
            "steps": length,
            "argument_bytes": memory.argument_size_in_bytes,
            "temporary_bytes": memory.temp_size_in_bytes,
            **figures(compiled.as_text()),
        }
    return row


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--devices", default="v5e:2x2", help="such as v5e:1x1 or h100:1")
    parser.add_argument("--configs", default="basic_net.py", help="files of configs/, with commas")
    parser.add_argument("--dtype", help="in place of the config's")
    parser.add_argument("--show", action="store_true", help="print the operations of a step")
    options = parser.parse_args()
    global SHOWN
    SHOWN = options.show
    for name in options.configs.split(","):
        row = measure(name, options.devices, options.dtype)
        print(json.dumps(row, indent=1), flush=True)
        RESULTS.parent.mkdir(exist_ok=True)
        with RESULTS.open("a") as file:
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
