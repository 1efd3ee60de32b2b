"""Speed of a training step and of inference, ours and an equivalent PyTorch model's, side by side in one run.

    python benchmarks/step_time.py                                        # every report model, PyTorch eager
    python benchmarks/step_time.py --peer torch,torch_compile,torch_tuned
    python benchmarks/step_time.py --models basic_net:8,resnet18_dw:128 --rounds 3
    git worktree add ../base 217357a && python benchmarks/step_time.py --peer base --base ../base

The timer's rules. Timed is the whole step of a training that holds its data set in memory: choosing the batch by
the epoch's permutation, uint8 to normalised float, forward, backward, optimizer, and sums of loss and accuracy that
are read once an interval. For inference: the same in evaluation mode, without backward and optimizer. Not timed:
start, compilation (the seconds of the first step stand beside), checkpoints. All sides train on the same random
images with the optimizer that the report's config names; no augmentation, no dropout.

Each side runs in a process of its own, all sides in turn, `--rounds` times; a process times intervals for
`--seconds` and gives its median. The table has the median over the processes, their least and greatest, and the
ratio of the medians (below 1: ours is faster).

    ours           as our command lines run: with the setting of cifar_jax.machine.huge_pages, unless switched off
    torch          eager, channels_last, the system's allocator as it is, its own number of threads
    torch_compile  the same under torch.compile
    torch_tuned    eager, with huge pages and an allocator that keeps what is freed
    base           ours of an earlier commit, in the folder --base

GFLOP/s count 6 operations a multiply-add of the forward pass for a training step (forward, and two products
backward), 2 for inference; the roof beside is a matrix product's on the same machine, measured with them. Appends
to benchmarks/results/step_time.jsonl.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

import records
import roof
import sides

RESULTS = pathlib.Path(__file__).parent / "results" / "step_time.jsonl"
PEERS = ("torch", "torch_compile", "torch_tuned", "base")
KEEPS_MEMORY = ":".join(
    f"glibc.malloc.{name}"
    for name in ("hugetlb=1", "mmap_max=0", "trim_threshold=17179869184", "top_pad=268435456")
)
BESIDE_THE_REPORTS = {("basic_net", 128): "sgd"}


def cases(text):
    """{(model, batch size): optimizer} of "name:batch,..." or "all": the models and batches of the reports."""
    from cifar_jax import config
    from cifar_jax.config import experiments

    known = {}
    for each in experiments.EXPERIMENTS:
        settings = config.load(experiments.CONFIGS / each.config)
        known.setdefault((settings.model.name, settings.batch_size), settings.optimizer.name)
    known |= BESIDE_THE_REPORTS
    if text == "all":
        return known
    wanted = {}
    for case in text.split(","):
        name, _, batch = case.partition(":")
        if name not in {model for model, _ in known} or not batch.isdecimal() or not int(batch):
            sys.exit(
                f"error: {case!r} is no model of the reports with its batch, such as basic_net:8"
            )
        wanted[name, int(batch)] = known.get((name, int(batch)), "sgd")
    return wanted


def environment(side):
    """The environment variables of a side's process."""
    from cifar_jax.machine import huge_pages

    variables = dict(os.environ)
    if side in ("ours", "roof", "base"):
        variables |= huge_pages.settings(variables, huge_pages.machine_has_use())
    if side == "torch_tuned":
        variables["GLIBC_TUNABLES"] = KEEPS_MEMORY
    return variables


def work(side, dtype, model=None, batch_size=None, optimizer=None, seconds=None):
    """What one process measures, as JSON-able values."""
    if side == "roof":
        return roof.measure(dtype)
    if side == "ours":
        made = sides.ours(model, batch_size, optimizer, dtype)
    else:
        made = sides.pytorch(model, batch_size, optimizer, dtype, side == "torch_compile")
    train, first = sides.milliseconds(made.train, seconds)
    infer, _ = sides.milliseconds(made.infer, seconds / 2)
    return {
        "train_ms": statistics.median(train),
        "inference_ms": statistics.median(infer) * batch_size / sides.EVALUATED,
        "first_step_seconds": first,
        "version": made.version,
        "hardware": made.hardware,
    }


def in_process(side, *arguments, base=None):
    """`work` in a process of its own, of the folder `base` by the script there; ends this one where that fails."""
    root = pathlib.Path(base).resolve() if side == "base" else pathlib.Path(__file__).parent.parent
    variables = environment(side) | {"PYTHONPATH": str(root)}
    given = json.dumps(["ours" if side == "base" else side, *arguments])
    command = [sys.executable, str(root / "benchmarks/step_time.py"), "--worker", given]
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{side} {arguments} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(model, batch_size, optimizer, peers, rounds, seconds, dtype="float32", base=None):
    """One row of the results: every side's times, its medians and the ratios to ours."""
    from cifar_jax.models import cost

    names = ("ours", *peers)
    runs = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            timed = in_process(name, dtype, model, batch_size, optimizer, seconds, base=base)
            runs[name].append(timed)
    row = {
        "model": model,
        "batch_size": batch_size,
        "optimizer": optimizer,
        "dtype": dtype,
        "hardware": runs["ours"][0]["hardware"],
        "versions": [runs[name][0]["version"] for name in ("ours", *peers[:1])],
        "first_step_seconds": {
            name: statistics.median(run["first_step_seconds"] for run in runs[name])
            for name in names
        },
    }
    for what, operations in (("train", 6), ("inference", 2)):
        times = {name: [run[f"{what}_ms"] for run in runs[name]] for name in names}
        medians = {name: statistics.median(series) for name, series in times.items()}
        row[what] = {
            "ms": times,
            "median_ms": medians,
            "ratio": {name: medians["ours"] / medians[name] for name in peers},
            "images_per_s": batch_size / medians["ours"] * 1e3,
            "gflops": operations * batch_size * cost.multiply_adds(model) / medians["ours"] / 1e6,
        }
    return row


def show(row, what, roofs):
    figures = row[what]
    cells = []
    for name, times in figures["ms"].items():
        cells.append(f"{figures['median_ms'][name]:9.2f} ({min(times):.2f}-{max(times):.2f})")
    ratios = "  ".join(f"{ratio:5.2f}" for ratio in figures["ratio"].values())
    share = figures["gflops"] / roofs["matmul_gflops"]
    print(
        f"{row['model']:>22} {row['batch_size']:>4} {what:>9}  {'  '.join(f'{c:>26}' for c in cells)}  {ratios}  "
        f"{figures['images_per_s']:9,.0f}  {figures['gflops']:6.0f} "
        f"({share:.0%})  {row['first_step_seconds']['ours']:6.1f}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--models", default="all", help="name:batch,... or all")
    parser.add_argument("--peer", default="torch", help=f"{', '.join(PEERS)}; several with commas")
    parser.add_argument("--base", metavar="FOLDER", help="of the peer `base`")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each side")
    parser.add_argument("--seconds", type=float, default=5.0, help="timed in each process")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(work(*json.loads(options.worker))))
        return
    peers = tuple(options.peer.split(","))
    if unknown := set(peers) - set(PEERS):
        parser.error(f"no peer {', '.join(unknown)}; there are {', '.join(PEERS)}")
    if ("base" in peers) != bool(options.base):
        parser.error("the peer base is given with its folder, --base, and only so")
    todo = cases(options.models)
    roofs = in_process("roof", "float32")
    print(
        f"roofs: {roofs['matmul_gflops']:.0f} GFLOP/s in a matrix product, "
        f"{roofs['bandwidth_gb_per_s']:.0f} GB/s\n"
        f"columns: ms a step of ours, {', '.join(peers)}; ours / each; images/s; GFLOP/s (of the roof); first step s"
    )
    for (model, batch_size), optimizer in todo.items():
        row = measure(
            model, batch_size, optimizer, peers, options.rounds, options.seconds, base=options.base
        )
        for what in ("train", "inference"):
            show(row, what, roofs)
        records.append(RESULTS, {**row, "roofs": roofs})


if __name__ == "__main__":
    main()
