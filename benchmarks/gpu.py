"""Ours against PyTorch on a CUDA GPU: one command, part by part, under ten minutes.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --parts depthwise,sweep --again

Needs a GPU and PyTorch with CUDA beside the package. A part whose result for this hardware and these versions is in
benchmarks/results/gpu.jsonl is skipped, so that a run which was cut short goes on; no part begins once the budget is
spent. The timer's rules are those of step_time.py. Parts, each with its goal:

    resnet18     bfloat16 training at batch 512 and 128: at least 1.0 times torch.compile, channels_last, autocast
    resnet18_dw  the same at batch 128: at least 1.3 times
    batch8       the reports' trainings of batch 8, float32: at least 5 times PyTorch eager
    sweep        64 runs of modified_net in one sweep: less than 8 times the time of one
    depthwise    ms of a depthwise 3x3 convolution and of its two gradients, bfloat16, batch 128, by formulation
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time

import records
import step_time

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results" / "gpu.jsonl"
ROUNDS, SECONDS = 2, 4.0
SMALL = ("basic_net", "wide_net", "gap_net", "attention_net", "resnet18")


def compiled(model, *batch_sizes):
    """Training in bfloat16 against torch.compile, and what share of the roofs it reaches."""
    roofs = step_time.in_process("roof", "bfloat16")
    rows = [
        step_time.measure(model, batch, "sgd", ("torch_compile",), ROUNDS, SECONDS, "bfloat16")
        for batch in batch_sizes
    ]
    return [
        {**row, "roofs": roofs, "of_roof": row["train"]["gflops"] / roofs["matmul_gflops"]}
        for row in rows
    ]


def batch8():
    return [step_time.measure(model, 8, "sgd", ("torch",), ROUNDS, SECONDS) for model in SMALL]


def sweep():
    """How many times the time of one run 64 runs take together."""
    program = (
        "import sys, json; sys.path.insert(0, sys.argv[1]); import sweep; "
        "one, _ = sweep.measure('modified_net', 64, 1, 3, 1.0, ('alone',)); "
        "all, _ = sweep.measure('modified_net', 64, 64, 3, 1.0, ('together',)); "
        "print(json.dumps([one['alone'], all['together']]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(HERE)], check=True, capture_output=True, text=True
    )
    one, together = json.loads(done.stdout.splitlines()[-1])
    return [{"one_ms": one, "together_ms": together, "times": 64 * min(together) / min(one)}]


def depthwise():
    """Each formulation at the shapes of resnet18_dw's stages."""
    import depthwise_kernel
    import jax
    import jax.numpy as jnp
    import roof

    from cifar_jax.models.ops import depthwise, plain

    formulations = {
        "grouped": lambda x, k: plain.xla_conv(x, k, 1, 1, x.shape[-1]),
        "shifts": lambda x, k: depthwise.depthwise_conv(x, k, 1, 1),
        "pallas": lambda x, k: depthwise_kernel.depthwise_conv(x, k, 1, 1),
    }
    rows = []
    for size, channels in ((32, 64), (16, 128), (8, 256), (4, 512)):
        x = jnp.ones((128, size, size, channels), jnp.bfloat16)
        kernel = jnp.ones((3, 3, 1, channels), jnp.bfloat16)
        for name, f in formulations.items():
            of_x = lambda x, k, g, f=f: jax.vjp(lambda x: f(x, k), x)[1](g)  # noqa: E731
            of_kernel = lambda x, k, g, f=f: jax.vjp(lambda k: f(x, k), k)[1](g)  # noqa: E731
            rows.append(
                {
                    "size": size,
                    "channels": channels,
                    "formulation": name,
                    "value_ms": 1e3 * roof.best(jax.jit(f), x, kernel, seconds=0.5),
                    "gradient_by_images_ms": 1e3
                    * roof.best(jax.jit(of_x), x, kernel, x, seconds=0.5),
                    "gradient_by_kernel_ms": 1e3
                    * roof.best(jax.jit(of_kernel), x, kernel, x, seconds=0.5),
                }
            )
    return rows


PARTS = {
    "resnet18": lambda: compiled("resnet18", 512, 128),
    "resnet18_dw": lambda: compiled("resnet18_dw", 128),
    "batch8": batch8,
    "sweep": sweep,
    "depthwise": depthwise,
}


def environment():
    """What a result belongs to: the device and the versions."""
    import jax
    import torch

    from cifar_jax.machine import runtime

    return {
        "hardware": runtime.hardware(),
        "versions": [f"jax {jax.__version__}", f"torch {torch.__version__}"],
    }


def in_words(row):
    """One line on the terminal."""
    if "train" in row:
        ratios = ", ".join(
            f"{1 / each:.2f} times {name}" for name, each in row["train"]["ratio"].items()
        )
        return f"{row['model']} {row['batch_size']}: {row['train']['median_ms']['ours']:.3f} ms, {ratios}"
    shown = {name: f"{x:.3g}" if isinstance(x, float) else x for name, x in row.items()}
    return ", ".join(f"{name} {value}" for name, value in shown.items())


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--parts", default=",".join(PARTS), help="with commas")
    parser.add_argument("--again", action="store_true", help="also what is recorded")
    parser.add_argument("--budget-minutes", type=float, default=9)
    options = parser.parse_args()
    if unknown := set(options.parts.split(",")) - set(PARTS):
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    mine, deadline = environment(), time.monotonic() + 60 * options.budget_minutes
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    there = {
        row["part"]
        for row in map(json.loads, lines)
        if all(row[name] == mine[name] for name in mine)
    }
    for part in options.parts.split(","):
        if part in there and not options.again:
            print(f"{part}: recorded")
            continue
        if time.monotonic() > deadline:
            print(f"{part}: no time left; the same command goes on")
            continue
        rows = PARTS[part]()
        print(f"{part}", *(f"  {in_words(row)}" for row in rows), sep="\n", flush=True)
        records.append(RESULTS, {"part": part, **mine, "rows": rows})


if __name__ == "__main__":
    main()
