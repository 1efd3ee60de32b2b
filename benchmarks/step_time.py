"""Training speed of ours and of an equivalent PyTorch loop, side by side in one run.

    python benchmarks/step_time.py                                # basic_net at batch 8 and 128
    python benchmarks/step_time.py --models resnet18_dw:128 --rounds 3

What is timed: the whole training step of a training that holds its data set in memory: choosing the
batch by the epoch's permutation, uint8 to normalised float, forward, backward, optimizer, and sums
of loss and accuracy that are read once per `--interval` steps. Not timed: start, compilation (its
seconds stand beside), evaluation, checkpoints. Both sides train on the same random images, with
SGD and momentum 0.9 or, for the ResNets, Adam; no augmentation.

Each side runs in a process of its own, ours and PyTorch in turn, `--rounds` times; a process times
intervals for `--seconds` and gives its median. The table has the median over the processes, their
least and greatest, and the ratio of the medians (below 1: ours is faster). PyTorch is eager, in
channels_last, with its default number of threads. Appends to benchmarks/results/step_time.jsonl.
"""

import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parent.parent
RESULTS = pathlib.Path(__file__).parent / "results" / "step_time.jsonl"
IMAGES = 45_000
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def random_data():
    import numpy as np

    random = np.random.default_rng(0)
    images = random.integers(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8)
    return images, random.integers(0, 10, IMAGES, dtype=np.int32)


def time_intervals(run_interval, interval, seconds):
    """Milliseconds per step of each interval for about so many seconds, after one that is not counted."""
    run_interval()
    found, stop = [], time.perf_counter() + seconds
    while time.perf_counter() < stop or len(found) < 3:
        started = time.perf_counter()
        run_interval()
        found.append((time.perf_counter() - started) / interval * 1e3)
    return statistics.median(found)


def ours(model, batch_size, interval, seconds):
    import jax
    import jax.numpy as jnp

    from cifar_jax import hyper, losses, models, optim, runtime, schedules, state, steps
    from cifar_jax.data import augment

    sgd = model == "basic_net"
    recipe = steps.Recipe(
        model=models.create(model, dropout=0.0),
        optimizer=optim.make_optimizer("sgd" if sgd else "adam", momentum=sgd),
        schedule=schedules.make_schedule("constant", schedules.Plan(1)),
        loss=losses.make_loss("cross_entropy"),
        augmentation=augment.Augmentation(),
        mean=MEAN,
        std=STD,
        dtype=jnp.float32,
        batch_size=batch_size,
        eval_batch_size=batch_size,
        num_classes=10,
    )
    programs = steps.make_programs(recipe, "loop" if jax.default_backend() == "cpu" else "scan")
    data = jax.device_put(steps.Data(*random_data()))
    train_state = state.create_state(
        recipe.model, recipe.optimizer, hyper.make_hyper(1e-3 if sgd else 1e-4, 0.9), 0, (32, 32, 3)
    )
    order = programs.epoch_order(train_state.key, 0, IMAGES)

    def run_interval():
        nonlocal train_state
        train_state, sums = programs.train_steps(train_state, data, order, interval)
        jax.device_get(sums.compute())

    started = time.perf_counter()
    run_interval()
    compile_seconds = time.perf_counter() - started
    step_ms = time_intervals(run_interval, interval, seconds)
    return step_ms, compile_seconds, f"jax {jax.__version__}", runtime.hardware()


def pytorch(model, batch_size, interval, seconds):
    import torch

    sys.path.insert(0, str(ROOT / "tests"))
    import torch_models

    device = "cuda" if torch.cuda.is_available() else "cpu"
    images, labels = random_data()
    images = torch.from_numpy(images).permute(0, 3, 1, 2).to(device)  # NHWC memory: channels_last
    labels = torch.from_numpy(labels).long().to(device)
    net = torch_models.BUILD[model]().to(device, memory_format=torch.channels_last)
    if model == "basic_net":
        optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9)
    else:
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-4)
    mean = torch.tensor(MEAN, device=device).view(1, 3, 1, 1)
    std = torch.tensor(STD, device=device).view(1, 3, 1, 1)
    order, position = torch.randperm(IMAGES, device=device), 0

    def run_interval():
        nonlocal position
        loss_sum, correct = torch.zeros((), device=device), torch.zeros((), device=device)
        for _ in range(interval):
            chosen = order[position : position + batch_size]
            position = (position + batch_size) % (IMAGES - batch_size)
            logits = net((images[chosen].float() / 255 - mean) / std)
            target = labels[chosen]
            loss = torch.nn.functional.cross_entropy(logits, target)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            loss_sum += loss.detach()
            correct += (logits.detach().argmax(1) == target).sum()
        return loss_sum.item(), correct.item()

    step_ms = time_intervals(run_interval, interval, seconds)
    return step_ms, 0.0, f"torch {torch.__version__}", device


PEERS = {"ours": ours, "torch": pytorch}


def measure(peer, model, batch_size, interval, seconds):
    """One process: {"step_ms", "compile_seconds", "version", "hardware"}."""
    arguments = ["--worker", peer, "--models", f"{model}:{batch_size}"]
    arguments += ["--interval", str(interval), "--seconds", str(seconds)]
    done = subprocess.run(
        [sys.executable, __file__, *arguments], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{peer} {model}:{batch_size} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--models", default="basic_net:8,basic_net:128", help="name:batch,...")
    parser.add_argument("--rounds", type=int, default=5, help="processes of each side")
    parser.add_argument("--seconds", type=float, default=5.0, help="timed in each process")
    parser.add_argument("--interval", type=int, default=100, help="steps between two readings")
    parser.add_argument("--worker", choices=PEERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    cases = [case.split(":") for case in options.models.split(",")]
    if options.worker:
        ((model, batch_size),) = cases
        found = PEERS[options.worker](model, int(batch_size), options.interval, options.seconds)
        found = dict(zip(("step_ms", "compile_seconds", "version", "hardware"), found, strict=True))
        print(json.dumps(found))
        return

    print(
        f"{'model':>12} {'batch':>5}  {'ours ms/step':>22}  {'torch ms/step':>22}  ratio  compile s"
    )
    for model, batch_size in cases:
        runs = {peer: [] for peer in PEERS}
        for _ in range(options.rounds):
            for peer, found in runs.items():
                found.append(
                    measure(peer, model, int(batch_size), options.interval, options.seconds)
                )
        times = {peer: [run["step_ms"] for run in found] for peer, found in runs.items()}
        median = {peer: statistics.median(found) for peer, found in times.items()}
        ratio = median["ours"] / median["torch"]
        compile_seconds = statistics.median(run["compile_seconds"] for run in runs["ours"])
        cells = [
            f"{median[peer]:8.3f} ({min(times[peer]):.3f}-{max(times[peer]):.3f})" for peer in PEERS
        ]
        print(
            f"{model:>12} {batch_size:>5}  {cells[0]:>22}  {cells[1]:>22}  {ratio:5.2f}  {compile_seconds:9.1f}",
            flush=True,
        )
        row = {
            "date": datetime.date.today().isoformat(),
            "model": model,
            "batch_size": int(batch_size),
            "step_ms": times,
            "median_step_ms": median,
            "ratio": ratio,
            "compile_seconds": compile_seconds,
            "hardware": runs["ours"][0]["hardware"],
            "versions": [runs[peer][0]["version"] for peer in PEERS],
            "environment": {
                name: os.environ[name]
                for name in ("GLIBC_TUNABLES", "XLA_FLAGS")
                if name in os.environ
            },
        }
        RESULTS.parent.mkdir(exist_ok=True)
        with RESULTS.open("a") as file:
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
