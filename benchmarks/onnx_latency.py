"""Latency of a model's ONNX file in onnxruntime, beside our own compiled prediction.

    python benchmarks/onnx_latency.py --models basic_net,plain_cnn,resnet18_dw --batches 1,128

Timed is a call: uint8 images, a NumPy array, in, and probabilities, a NumPy array, out. Ours is the program that
evaluates a run, compiled for the batch; onnxruntime has its own settings, but for the number of threads, and one
session for all batches. Not timed: compilation, and loading the file. The weights are drawn at random. Both sides are
in one process and take turns: each is called for `--seconds`, `--rounds` times, after a pause in which the other's
threads go to sleep. An interval gives its mean, a row has their median, least and greatest, and the ratio of the
medians (below 1: onnxruntime is faster).

Appends to benchmarks/results/onnx_latency.jsonl.
"""

import argparse
import functools
import pathlib
import statistics
import time
import types

import numpy as np
import records
import sides

RESULTS = pathlib.Path(__file__).parent / "results" / "onnx_latency.jsonl"
PAUSE = 0.2  # seconds


def untrained(name):
    """What `onnx_model.of_run` takes of a run, with weights at random."""
    import jax
    import jax.numpy as jnp

    from cifar_jax import models
    from cifar_jax.models.inference import Inference

    random, entry = np.random.default_rng(0), models.registry.lookup(name)

    def draw(path, leaf):
        if path[-1].key in ("scale", "var"):
            return np.ones(leaf.shape, leaf.dtype)
        bound = np.sqrt(6 / np.prod(leaf.shape[:-1])) if leaf.ndim > 1 else 0.1
        return random.uniform(-bound, bound, leaf.shape).astype(leaf.dtype)

    variables = jax.tree_util.tree_map_with_path(draw, models.registry.shapes(name))
    normalization = {"mean": sides.MEAN, "std": sides.STD, "dtype": jnp.dtype("float32")}
    inference = Inference(model=models.create(name), num_classes=entry.num_classes, **normalization)
    return types.SimpleNamespace(
        inference=inference, variables=variables, image_shape=entry.input_shape
    )


def callers(name, threads):
    """{side: function of uint8 images}."""
    import jax
    import onnxruntime

    from cifar_jax.machine import compilation
    from cifar_jax.trained import export, onnx_model

    run = untrained(name)
    compiled = compilation.jit(functools.partial(export.probabilities, run.inference))
    variables = jax.device_put(run.variables)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    content = onnx_model.of_run(run).SerializeToString()
    session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
    return {
        "ours": lambda images: np.asarray(compiled(variables, images)),
        "onnxruntime": lambda images: session.run(None, {onnx_model.INPUT: images})[0],
    }


def interval(call, seconds):
    """Milliseconds of a call, the mean over an interval."""
    time.sleep(PAUSE)
    call()
    count, started = 0, time.perf_counter()
    while not count or time.perf_counter() < started + seconds:
        call()
        count += 1
    return (time.perf_counter() - started) / count * 1e3


def measure(calls, images, rounds, seconds):
    """{side: milliseconds of each interval}, and how far apart the probabilities are."""
    answers = [call(images) for call in calls.values()]
    times = {side: [] for side in calls}
    for _ in range(rounds):
        for side, call in calls.items():
            times[side].append(interval(functools.partial(call, images), seconds))
    return times, float(np.abs(np.subtract(*answers)).max())


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", default="basic_net,plain_cnn,resnet18_dw")
    parser.add_argument("--batches", default="1,128")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--threads", type=int, default=2, help="of onnxruntime")
    options = parser.parse_args()

    import jax
    import onnxruntime

    from cifar_jax.machine import runtime

    runtime.enable_compilation_cache("auto")
    versions = [f"jax {jax.__version__}", f"onnxruntime {onnxruntime.__version__}"]
    about = {"hardware": runtime.hardware()}
    about |= {"versions": versions, "threads": options.threads}
    print(f"{about['hardware']}, {', '.join(versions)}; milliseconds of a call")
    for name in options.models.split(","):
        calls = callers(name, options.threads)
        for batch in map(int, options.batches.split(",")):
            shape = batch, *untrained(name).image_shape
            images = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
            times, apart = measure(calls, images, options.rounds, options.seconds)
            medians = {side: statistics.median(each) for side, each in times.items()}
            ratio = medians["onnxruntime"] / medians["ours"]
            row = {**about, "model": name, "batch_size": batch, "ms": times, "median_ms": medians}
            row |= {"ratio": ratio, "apart": apart}
            shown = [
                f"{side} {medians[side]:.3g} ({min(each):.3g} to {max(each):.3g})"
                for side, each in times.items()
            ]
            print(f"{name:>20} {batch:>4}  {', '.join(shown)}, ratio {ratio:.2f}", flush=True)
            records.append(RESULTS, row)


if __name__ == "__main__":
    main()
