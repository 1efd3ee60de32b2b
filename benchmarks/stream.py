"""What it costs to keep the images on the host: images/s of training steps, streamed and from the device.

    python benchmarks/stream.py --data_dir ~/tensorflow_datasets

The forms take turns, `--rounds` times, and time whole training steps after compilation, until the last result is on the
host. Shown are the median, the least and the greatest. `--model` trains something else than the small default, whose
steps are short, so that reading weighs the most. Appends to benchmarks/results/stream.jsonl.
"""

import argparse
import pathlib
import statistics
import sys
import time

import numpy as np
import records

ROOT = pathlib.Path(__file__).parent.parent
RESULTS = pathlib.Path(__file__).parent / "results" / "stream.jsonl"
sys.path.insert(0, str(ROOT))


def make(model, batch_size, name, data_dir, **dataset):
    """A function: steps -> seconds; each call goes on where the last one ended."""
    import jax

    from cifar_jax import config as config_lib
    from cifar_jax import data
    from cifar_jax.train import setup

    config = config_lib.default()
    config.model.name, config.batch_size, config.total_epochs = model, batch_size, 100_000
    config.dataset.update(name=name, data_dir=data_dir, **dataset)
    made = setup.build(config_lib.check(config), data.load(name, data_dir, ""))
    now, done = setup.initial_state(made), 0

    def train(count):
        nonlocal now, done
        started = time.perf_counter()
        while count:
            epoch, position = divmod(done, made.steps_per_epoch)
            part = min(count, made.steps_per_epoch - position)
            order = made.programs.epoch_order(now.key, epoch, len(made.train.labels))
            now, sums = made.programs.train_steps(now, made.train, order, part)
            done, count = done + part, count - part
        jax.device_get(sums)
        return time.perf_counter() - started

    return train


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default="basic_net")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=200, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--data_dir", default="")
    flags = parser.parse_args()
    import jax

    from cifar_jax.machine import runtime

    places = {
        "device": {"residency": "device"},
        **{f"stream, {n} threads": {"residency": "stream", "threads": n} for n in (1, 2, 4)},
    }
    sides = {
        name: make(flags.model, flags.batch_size, flags.dataset, flags.data_dir, **place)
        for name, place in places.items()
    }
    for train in sides.values():
        train(flags.steps)  # compiles
    speeds = {name: [] for name in sides}
    for _ in range(flags.rounds):
        for name, train in sides.items():
            speeds[name].append(flags.steps * flags.batch_size / train(flags.steps))
    for name, rates in speeds.items():
        row = {
            "hardware": runtime.hardware(),
            "jax": jax.__version__,
            "dataset": flags.dataset,
            "model": flags.model,
            "batch_size": flags.batch_size,
            "images": name,
            "images_per_second": [round(rate) for rate in rates],
        }
        records.append(RESULTS, row)
        share = np.median(rates) / np.median(speeds["device"])
        print(
            f"{name:20} {statistics.median(rates):10,.0f} images/s ({min(rates):,.0f} to {max(rates):,.0f}), "
            f"{share:.2f} of the device's"
        )


if __name__ == "__main__":
    main()
