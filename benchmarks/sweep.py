"""Speed of many runs trained as one program against the same runs one after the other.

    python benchmarks/sweep.py                                            # both models, n = 1, 4, 16, 64
    python benchmarks/sweep.py --models modified_net:128 --runs 1,4 --rounds 3

Every run trains on the same random uint8 images, SGD with momentum 0.9 and a learning rate of its own,
no augmentation; what is timed is training steps, after compilation. Three ways:

    alone     one run's own programs; so many runs take so many times as long.
    together  one batched program of all runs (vmap).
    turns     one run's program, called for each run in turn: a sweep's way on one CPU.

Each round times every way once, in turn; the table has the median over the rounds, and the least in
brackets, of milliseconds for one step of one run, images/s of all runs together, and the speed-up over
alone. Appends one JSON line a case to benchmarks/results/sweep.jsonl.
"""

import argparse
import os
import pathlib
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
import records
import sides

from cifar_jax import metrics
from cifar_jax.machine import mesh as mesh_lib
from cifar_jax.machine import runtime
from cifar_jax.sweep import stack
from cifar_jax.train import state, steps
from cifar_jax.train.hyper import make_hyper

RESULTS = pathlib.Path(__file__).parent / "results" / "sweep.jsonl"
CALIBRATION = 10  # steps, from whose time the length of an interval follows
WAYS = ("alone", "together", "turns")


class Timed:
    """A number of runs, trained in one of WAYS; `interval` trains so many steps of each and waits."""

    def __init__(self, way, model, batch_size, runs):
        self.mesh = mesh_lib.data_mesh()
        recipe = sides.make_recipe(model, batch_size)
        self.runs = 1 if way == "alone" else -(-runs // self.mesh.size) * self.mesh.size
        shape = (32, 32, 3)

        def initial(rate, seed):
            key = jax.random.PRNGKey(seed)
            return state.initial_state(
                recipe.model, recipe.optimizer, make_hyper(rate, 0.9), key, shape
            )

        if way == "alone":
            self.programs = steps.make_programs(recipe)
            self.data = jax.device_put(steps.make_data(*sides.random_data()))
            self.state = jax.jit(initial)(0.001, 0)
            key = self.state.key
        else:
            self.programs = stack.make_programs(recipe, self.mesh, self.runs, turns=way == "turns")
            self.data = jax.device_put(
                steps.make_data(*sides.random_data()), mesh_lib.replicated(self.mesh)
            )
            rates, seeds = np.geomspace(1e-4, 1e-2, self.runs), np.arange(self.runs)
            over = mesh_lib.over_devices(self.mesh)

            @jax.jit
            def members(rates, seeds):
                states = jax.vmap(initial)(rates, seeds)
                return stack.TrialState(states, jnp.full(len(seeds), metrics.NEVER))

            self.state = jax.device_put(members(rates.astype(np.float32), seeds), over)
            key = self.state.state.key
        self.order = self.programs.epoch_order(key, 0, sides.IMAGES)

    def interval(self, count):
        """Seconds."""
        started = time.perf_counter()
        self.state, sums = self.programs.train_steps(self.state, self.data, self.order, count)
        jax.device_get(sums)
        return time.perf_counter() - started


def measure(model, batch_size, runs, rounds, seconds, ways):
    """{way: milliseconds for one step of one run, of each round} and {way: seconds of compilation}."""
    timed, compiled, counts = {}, {}, {}
    for way in ways:
        started = time.perf_counter()
        timed[way] = Timed(way, model, batch_size, runs)
        timed[way].interval(2)
        compiled[way] = time.perf_counter() - started
        timed[way].interval(CALIBRATION)
        counts[way] = max(2, round(CALIBRATION * seconds / timed[way].interval(CALIBRATION)))
        timed[way].interval(counts[way])  # a scan of that length is a program of its own
    milliseconds = {way: [] for way in ways}
    for _ in range(rounds):
        for way, each in timed.items():
            taken = each.interval(counts[way])
            milliseconds[way].append(taken / counts[way] / each.runs * 1e3)
    return milliseconds, compiled


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    default = "modified_net:128,modified_net:8,basic_net:128,basic_net:8"
    parser.add_argument("--models", default=default, help="name:batch,...")
    parser.add_argument("--runs", default="1,4,16,64")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each interval, about")
    options = parser.parse_args()
    print(f"{runtime.hardware()}, jax {jax.__version__}")
    print(
        f"{'model':>14} {'batch':>5} {'runs':>4} {'way':>9}  {'ms/step and run':>18}  images/s  speed-up"
    )
    for case in options.models.split(","):
        model, batch_size = case.split(":")
        for runs in map(int, options.runs.split(",")):
            ways = options.ways.split(",")
            milliseconds, compiled = measure(
                model, int(batch_size), runs, options.rounds, options.seconds, ways
            )
            median = {way: statistics.median(times) for way, times in milliseconds.items()}
            for way, ms in median.items():
                speed = int(batch_size) / ms * 1e3
                gain = f"{median['alone'] / ms:8.2f}" if "alone" in median else ""
                print(
                    f"{model:>14} {batch_size:>5} {runs:>4} {way:>9}  {ms:8.3f} ({min(milliseconds[way]):.3f})"
                    f"  {speed:8,.0f}  {gain}",
                    flush=True,
                )
            row = {
                "model": model,
                "batch_size": int(batch_size),
                "runs": runs,
                "ms_per_step_and_run": milliseconds,
                "median": median,
                "images_per_second_in_all": {
                    way: int(batch_size) / ms * 1e3 for way, ms in median.items()
                },
                "images_per_second_of_a_run": {
                    way: int(batch_size) / ms * 1e3 / runs for way, ms in median.items()
                },
                "compile_seconds": compiled,
                **records.about(),
                "load_average": os.getloadavg()[0],
            }
            records.append(RESULTS, row)


if __name__ == "__main__":
    main()
