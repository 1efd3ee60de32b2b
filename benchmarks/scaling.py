"""How a training scales over devices: bytes moved, steps/s, and a thousand-run sweep, on 1, 2, 4 and 8 virtual devices.

    python benchmarks/scaling.py

    communication   what the compiled step of a model sends, read from its HLO, beside the formula of docs/scaling.md
    strong          steps/s of a batch of 128 shared out over the devices
    weak            steps/s of 32 images a device
    sweep           a thousand runs of modified_net: bytes each device holds and moves, by the compiler, nothing run

Virtual devices share the cores of one machine, so the most that strong scaling can show is that nothing is lost: 1.0 is
the steps/s of one device, and for weak scaling 1/n of them. Each count is a process of its own, since JAX fixes the
number of virtual devices when it starts. Appends to benchmarks/results/scaling.jsonl.
"""

import argparse
import json
import math
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

import records

ROOT = pathlib.Path(__file__).parent.parent
RESULTS = pathlib.Path(__file__).parent / "results" / "scaling.jsonl"
sys.path.insert(0, str(ROOT))
COUNTS = (1, 2, 4, 8)
KINDS = "all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter"
BYTES = {"f64": 8, "f32": 4, "s32": 4, "u32": 4, "bf16": 2, "u8": 1, "pred": 1}


def collectives(hlo):
    """What a compiled program sends: a list of {"kind", "bytes" of the results, "what": the operation's name}."""
    operations = []
    for line in hlo.splitlines():
        match = re.search(rf"= (.*?) ({KINDS})(-start)?\(", line)
        if match:
            shapes = re.findall(r"(\w+)\[([\d,]*)\]", match[1])
            sizes = [
                BYTES[kind] * math.prod(map(int, filter(None, dims.split(","))))
                for kind, dims in shapes
            ]
            name = re.search(r'op_name="([^"]*)"', line)
            operations.append(
                {"kind": match[2], "bytes": sum(sizes), "what": name[1] if name else ""}
            )
    return operations


def run_of(model, batch_size, **overrides):
    """A Setup on the embedded digits, over all devices, and its first state."""
    from cifar_jax import config as config_lib
    from cifar_jax import data
    from cifar_jax.train import setup as run

    config = config_lib.default()
    config.model.name, config.batch_size, config.dataset.name = model, batch_size, "digits"
    config.update_from_flattened_dict(overrides)
    made = run.build(config_lib.check(config), data.load("digits", "", ""))
    return made, run.initial_state(made)


def communication(model, batch_size=64, **overrides):
    """The collectives of a training step, and what the formula is of."""
    import jax

    from cifar_jax.machine import mesh as mesh_lib
    from cifar_jax.models.ops import choice
    from cifar_jax.train import steps

    run, state = run_of(model, batch_size, **overrides)
    whole = mesh_lib.replicated(run.mesh)
    metrics = jax.device_put(steps.TrainMetrics.empty(), whole)
    order = run.programs.epoch_order(state.key, 0, len(run.train.labels))

    def step(*arguments):
        return steps.train_step(run.recipe, *arguments)

    with choice.plain_formulations():  # a TPU's; some of the CPU's sum larger arrays
        compiled = (
            jax.jit(step, out_shardings=whole).lower(state, metrics, run.train, order).compile()
        )
    return {
        "params": sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        "statistics": sum(leaf.size for leaf in jax.tree.leaves(state.batch_stats)),
        "collectives": collectives(compiled.as_text()),
    }


def steps_per_second(model, batch_size, count, rounds):
    """Of a training step, after compilation: a list, one for each round."""
    import jax

    run, state = run_of(model, batch_size)
    order = run.programs.epoch_order(state.key, 0, len(run.train.labels))
    rates = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        state, sums = run.programs.train_steps(state, run.train, order, count)
        jax.device_get(sums)
        rates.append(count / (time.perf_counter() - started))
    return rates[1:]


def sweep(model, runs, batch_size):
    """A training step of so many runs, compiled for the devices and not run: bytes by device, and its collectives."""
    import jax

    from cifar_jax import config as config_lib
    from cifar_jax import data
    from cifar_jax.machine import mesh as mesh_lib
    from cifar_jax.sweep import stack as stack_lib
    from cifar_jax.train import hyper, programs
    from cifar_jax.train import setup as run_lib

    config = config_lib.default()
    config.model.name, config.batch_size, config.dataset.name = model, batch_size, "digits"
    config.tensorboard, made = False, {}
    padded = -(-runs // jax.device_count()) * jax.device_count()

    def stack(recipe, mesh):
        made["functions"] = stack_lib.StackedSteps(recipe, padded, mesh)
        return programs.make_programs(made["functions"])

    run = run_lib.build(config_lib.check(config), data.load("digits", "", ""), stack)
    shared, whole = mesh_lib.over_devices(run.mesh), mesh_lib.replicated(run.mesh)

    def initial(key):
        return stack_lib.initial_member(run, True, hyper.from_config(config), key, {})[0]

    keys = jax.ShapeDtypeStruct((padded, 2), "uint32")
    members = jax.eval_shape(jax.vmap(initial), keys)
    counted = jax.eval_shape(made["functions"].no_metrics)
    order = jax.ShapeDtypeStruct((padded, len(run.train.labels)), "int32")

    def placed(tree, sharding):
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree
        )

    members, counted, order = (placed(tree, shared) for tree in (members, counted, order))
    step = jax.jit(made["functions"].train_step, out_shardings=shared, donate_argnums=(0, 1))
    compiled = step.lower(members, counted, placed(run.train, whole), order).compile()
    memory = compiled.memory_analysis()
    return {
        "runs": runs,
        "state_bytes_a_run": sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(members))
        // padded,
        "argument_bytes_a_device": memory.argument_size_in_bytes,
        "temporary_bytes_a_device": memory.temp_size_in_bytes,
        "collectives": collectives(compiled.as_text()),
    }


PARTS = {
    "communication": lambda devices, flags: {
        model: communication(model) for model in flags.models.split(",")
    },
    "strong": lambda devices, flags: {
        "steps/s": steps_per_second("modified_net", 128, flags.steps, flags.rounds)
    },
    "weak": lambda devices, flags: {
        "steps/s": steps_per_second("modified_net", 32 * devices, flags.steps, flags.rounds)
    },
    "sweep": lambda devices, flags: sweep("modified_net", flags.runs, 64),
}


def in_process(part, devices, arguments):
    """What a part finds on so many virtual devices."""
    # NPROC: the size of XLA's pool, in which eight devices on two cores wait for each other for good.
    settings = {"JAX_NUM_CPU_DEVICES": str(devices), "NPROC": str(4 * devices)}
    done = subprocess.run(
        [sys.executable, __file__, "--only", part, "--devices", str(devices), *arguments],
        env=os.environ | settings,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def describe(part, devices, measures, alone):
    """Lines that say what a part found."""
    if part == "communication":
        for model, each in measures.items():
            sent = sum(one["bytes"] for one in each["collectives"])
            yield (
                f"{model}: {len(each['collectives'])} collectives of {sent:,} bytes; {4 * each['params']:,} are the "
                f"gradient's, {4 * each['statistics']:,} the batch statistics'; each device sends "
                f"{2 * (devices - 1) / devices * sent:,.0f} bytes a step"
            )
    elif part == "sweep":
        yield (
            f"{measures['runs']} runs: {measures['state_bytes_a_run']:,} bytes a run; a device holds "
            f"{measures['argument_bytes_a_device']:,} bytes and needs {measures['temporary_bytes_a_device']:,} for a "
            "step; "
            f"{len(measures['collectives'])} collectives"
        )
    else:
        rates, one = measures["steps/s"], statistics.median(alone["steps/s"])
        yield (
            f"{statistics.median(rates):.1f} steps/s ({min(rates):.1f} to {max(rates):.1f}), "
            f"{statistics.median(rates) / one:.2f} of one device's"
        )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--models", default="modified_net,big_net_improved,resnet18_dw")
    parser.add_argument("--runs", type=int, default=1000, help="of the sweep")
    parser.add_argument("--steps", type=int, default=50, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--only", choices=PARTS, help="one part here, for --devices, as one line of JSON"
    )
    parser.add_argument("--devices", type=int, default=1)
    flags = parser.parse_args()
    if flags.only:
        print(json.dumps(PARTS[flags.only](flags.devices, flags)))
        return
    import jax

    from cifar_jax.machine import runtime

    given = sys.argv[1:]
    for part in flags.parts.split(","):
        alone = None
        for devices in COUNTS:
            measures = in_process(part, devices, given)
            alone = alone or measures
            for line in describe(part, devices, measures, alone):
                print(f"{part}, {devices} devices: {line}")
            row = {
                "hardware": runtime.hardware(),
                "jax": jax.__version__,
                "part": part,
                "devices": devices,
                "found": measures,
            }
            records.append(RESULTS, row)


if __name__ == "__main__":
    main()
