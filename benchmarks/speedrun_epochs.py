"""Seconds of an epoch of the speed run in each of its image sizes, ours and PyTorch's, in turn in one run.

    python benchmarks/speedrun_epochs.py --data_dir ~/tensorflow_datasets
    python benchmarks/speedrun_epochs.py --data_dir ~/tensorflow_datasets --peer torch_tuned --rounds 3

PyTorch has the same network, augmentation, sizes, batches and optimizer (written out below; the author's script needs
CUDA), in channels_last, eager; torch_tuned has huge pages and an allocator that keeps what is freed besides. Each side
runs in a process of its own, in turn, `--rounds` times, and times `--steps` steps of each size after two that are not
counted. Compilation, reading the data and evaluation are in no figure. Appends to results/speedrun_epochs.jsonl.
"""

import argparse
import json
import math
import pathlib
import statistics
import subprocess
import sys
import time

import numpy as np
import records
from step_time import environment

ROOT = pathlib.Path(__file__).parent.parent
RESULTS = pathlib.Path(__file__).parent / "results" / "speedrun_epochs.jsonl"
PEERS = ("torch", "torch_tuned")
MOMENTUM = {"kernel": 0.6, "head": 0.85, "bias": 0.85}
NEWTON_SCHULZ = 3.4445, -4.7750, 2.0315


def load(options):
    """(checked config, data set)."""
    from cifar_jax import config as config_lib
    from cifar_jax import data

    config = config_lib.load(options.config)
    config.dataset.data_dir = options.data_dir
    config = config_lib.check(config)
    return config, data.load(config.dataset.name, config.dataset.data_dir, config.dataset.archive)


def ours(config, dataset, steps):
    """{side: milliseconds of a step}, of the program that the main job runs."""
    import jax
    import jax.numpy as jnp

    from cifar_jax.train.setup import build, initial_state

    setup = build(config, dataset)
    state = initial_state(setup)
    order = setup.programs.epoch_order(state.key, 0, len(setup.train.labels))
    times = {}
    for epoch, side in enumerate(config.augment.image_sizes):
        if side in times:
            continue
        state = state.replace(step=jnp.int32(epoch * setup.steps_per_epoch))
        state, _ = jax.block_until_ready(setup.programs.train_steps(state, setup.train, order, 2))
        began = time.perf_counter()
        state, _ = jax.block_until_ready(
            setup.programs.train_steps(state, setup.train, order, steps)
        )
        times[side] = (time.perf_counter() - began) / steps * 1e3
    return times


def pytorch(config, dataset, steps):
    """The same of PyTorch."""
    import torch
    from torch.nn import functional

    sys.path.insert(0, str(ROOT / "tests"))
    import torch_models

    torch.manual_seed(0)
    images, labels = (torch.from_numpy(np.array(each)) for each in dataset.split("train"))
    images, labels = images.permute(0, 3, 1, 2), labels.long()  # channels_last
    mean, std = (
        torch.tensor(each, dtype=torch.float32).view(1, 3, 1, 1)
        for each in (dataset.mean, dataset.std)
    )
    net = torch_models.BUILD["airbench_net"]().to(memory_format=torch.channels_last).train()
    groups = {"kernel": [], "head": [], "bias": []}
    for parameter in net.parameters():
        groups[{4: "kernel", 2: "head"}.get(parameter.ndim, "bias")].append(parameter)
    moments = {p: torch.zeros_like(p) for each in groups.values() for p in each}
    pad, size, batch = config.augment.crop_padding, images.shape[-1], config.batch_size

    def augmented(chosen):
        padded = functional.pad(images[chosen].float(), (pad,) * 4, mode=config.augment.crop_mode)
        starts = torch.randint(0, 2 * pad + 1, (batch, 2))
        rows, columns = (starts[:, i, None] + torch.arange(size) for i in (0, 1))
        each = torch.arange(batch)[:, None, None]
        cut = padded[each, :, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2)
        mirrored = (torch.rand(batch) < 0.5).view(-1, 1, 1, 1)
        return (torch.where(mirrored, cut.flip(-1), cut) / 255 - mean) / std

    def orthogonalized(matrix):
        a, b, c = NEWTON_SCHULZ
        tall = matrix.shape[0] > matrix.shape[1]
        x = matrix.T if tall else matrix
        x = x / (x.norm() + 1e-7)
        for _ in range(3):
            gram = x @ x.T
            x = a * x + (b * gram + c * gram @ gram) @ x
        return x.T if tall else x

    @torch.no_grad()
    def update(name, parameter, decay=2e-6):
        gradient = parameter.grad
        rate = {"kernel": 0.24, "head": 0.67, "bias": 0.053}[name]
        if name != "kernel":
            gradient = gradient + decay * batch / rate * parameter
        moments[parameter].mul_(MOMENTUM[name]).add_(gradient)
        gradient = gradient.add(moments[parameter], alpha=MOMENTUM[name])
        if name == "kernel":
            parameter.mul_(math.sqrt(len(parameter)) / parameter.norm())
            gradient = orthogonalized(gradient.flatten(1)).view_as(parameter)
        parameter.add_(gradient, alpha=-rate)

    def step(number, side):
        chosen = order[number * batch : (number + 1) * batch]
        x = augmented(chosen)
        if side != size:
            x = functional.interpolate(x, (side, side), mode="bilinear", antialias=True)
        x = x.contiguous(memory_format=torch.channels_last)
        smoothing = config.loss.label_smoothing
        loss = functional.cross_entropy(
            net(x), labels[chosen], label_smoothing=smoothing, reduction="sum"
        )
        net.zero_grad(set_to_none=True)
        loss.backward()
        for name, parameters in groups.items():
            for parameter in parameters:
                update(name, parameter)

    order, times = torch.randperm(len(labels)), {}
    for side in sorted(set(config.augment.image_sizes)):
        for number in range(2):
            step(number, side)
        began = time.perf_counter()
        for number in range(steps):
            step(number, side)
        times[side] = (time.perf_counter() - began) / steps * 1e3
    return times


def in_process(side, options):
    """{side of the images: milliseconds} of one process."""
    given = json.dumps([side, options.config, options.data_dir, options.steps])
    command = [sys.executable, __file__, "--worker", given]
    variables = environment(side) | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{side} failed:\n{done.stderr}")
    return {int(size): ms for size, ms in json.loads(done.stdout.splitlines()[-1]).items()}


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--config", default=f"{ROOT / 'configs/speedrun.py'}:cpu")
    parser.add_argument("--data_dir", default="", help="folder with the prepared set")
    parser.add_argument("--peer", default="torch", choices=PEERS)
    parser.add_argument("--rounds", type=int, default=3, help="processes of each side")
    parser.add_argument("--steps", type=int, default=5, help="timed, of each size")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    options = parse()
    if options.worker:
        side, options.config, options.data_dir, steps = json.loads(options.worker)
        made = ours if side == "ours" else pytorch
        print(json.dumps(made(*load(options), steps)))
        return
    config, dataset = load(options)
    runs = {"ours": [], options.peer: []}
    for _ in range(options.rounds):
        for side, each in runs.items():
            each.append(in_process(side, options))
    per_epoch = dataset.sizes["train"] // config.batch_size
    epochs = config.augment.image_sizes[: config.total_epochs]
    totals = dict.fromkeys(runs, 0.0)
    for size in sorted(set(epochs)):
        seconds = {
            side: [run[size] * per_epoch / 1e3 for run in each] for side, each in runs.items()
        }
        medians = {side: statistics.median(each) for side, each in seconds.items()}
        for side in runs:
            totals[side] += medians[side] * epochs.count(size)
        words = "; ".join(
            f"{side} {medians[side]:.1f} s ({min(each):.1f} to {max(each):.1f})"
            for side, each in seconds.items()
        )
        ratio = medians["ours"] / medians[options.peer]
        print(f"an epoch of {size} x {size}: {words}; {ratio:.2f}", flush=True)
    ratio = totals["ours"] / totals[options.peer]
    whole = " / ".join(f"{each:.0f}" for each in totals.values())
    print(f"all {len(epochs)} epochs: {whole} s; {ratio:.2f}")
    row = {"config": config.to_dict(), "ms": runs, "epoch_seconds": totals}
    records.append(RESULTS, records.about() | row)


if __name__ == "__main__":
    main()
