"""The evaluation of a checkpoint on a split, evaluation.json and predictions.npz, for people and machines.

evaluation.json is an object. Shares are fractions of 1, a value that does not exist is null, classes are numbered in
the order of `dataset.class_names`. Keys keep their names and meanings as long as `format` is 1; more may come.

format                1
workdir               the run's folder, as it was given
checkpoint, step      "best", "last" or a step's digits, and the step it is
split                 "test", "validation" or "train"
optimistic            why the figures are too good to be true, in words; null where they are not
dataset               {name, fingerprint (SHA-256 of all its arrays), class_names}
images                how many
accuracy, accuracy_interval     the latter [low, high], Wilson's of 95 %
top5_accuracy         null for five classes or fewer, of which it would be 1
loss                  mean cross entropy, nats
macro, weighted       {precision, recall, f1}: means over the classes, plain and by their images
per_class             [{name, images, predicted (images taken for it), accuracy, accuracy_interval, precision, recall,
                      f1}]; accuracy is that of the class's own images: the recall, but null without any
confusion             [[images of this true class, taken for that class]]
confused_pairs        [{true, predicted (class numbers), images, fraction of the true class's images}], greatest
                      fraction first, at most 10
calibration           {error (expected calibration error), confidence (mean), bins: [{low, high, images, hits,
                      confidence, accuracy}]}; of the probability of the predicted class
model                 {name, params, parameter_bytes, activation_bytes (of a training step of activation_batch
                      images), activation_batch, multiply_adds (an image's; test-time views not counted)}, bytes of
                      float32; see cifar_jax.models.cost
speed                 [{batch, milliseconds, images_per_second, calls}], or null where it was not measured
config                the run's, whole
versions, hardware    of this evaluation

predictions.npz holds, in one order, `index` int64 [N] (the image's number in the data set's own training or test
images), `label` int32 [N] and `logits` float32 [N, C].
"""

import functools
import json
import pathlib
import statistics
import time
import zipfile

import jax
import numpy as np

from cifar_jax import metrics, trained
from cifar_jax.analysis import scores
from cifar_jax.machine import files, runtime
from cifar_jax.models import cost

SPEED_BATCHES = (1, 256)
LEAST_CALLS, MOST_CALLS, SECONDS = 5, 200, 1.0  # of a measurement of speed


def evaluate(run, split, data, with_speed=True):
    """Evaluate a checkpoint on a split.

    Args:
        run: trained.Trained.
        split: "test", "validation" or "train".
        data: of trained.split.
        with_speed: whether to measure it, which takes some seconds.
    Returns:
        (evaluation, predictions): dicts of what evaluation.json and predictions.npz hold.
    Raises:
        UserError: of trained.check_finite.
    """
    images, labels, index = data
    logits = trained.logits(run, images)
    trained.check_finite(run, logits)
    speed = measure_speed(run, images) if with_speed else None
    predictions = {
        "index": np.asarray(index, np.int64),
        "label": np.asarray(labels, np.int32),
        "logits": logits,
    }
    return assemble(run, split, predictions, speed), predictions


def assemble(run, split, predictions, speed):
    """Return the content of evaluation.json, computed from predictions.

    Args:
        run: trained.Trained.
        split: "test", "validation" or "train".
        predictions: of predictions.npz.
        speed: of measure_speed, or None.
    """
    return {
        "format": 1,
        "workdir": str(run.workdir),
        "checkpoint": run.checkpoint,
        "step": run.step,
        "split": split,
        "optimistic": optimistic(run.config, run.checkpoint, split),
        "dataset": {
            "name": run.dataset.name,
            "fingerprint": run.dataset.fingerprint,
            "class_names": list(run.dataset.class_names),
        },
        **describe(predictions["label"], predictions["logits"], run.dataset.class_names),
        "model": cost.describe(
            run.config.model.name, len(run.dataset.class_names), run.image_shape
        ),
        "speed": speed,
        "config": run.config.to_dict(),
        "versions": runtime.versions(),
        "hardware": runtime.hardware(),
    }


def optimistic(config, checkpoint, split):
    """Say why the figures of a split are better than those of new images would be; None where they are not."""
    if split == "train":
        return "the model was trained on these images"
    chosen_on = "test" if config.selection == "test" else "validation"
    if split == chosen_on and checkpoint != "last":
        return "the checkpoint was chosen on these images"
    return None


def describe(labels, logits, class_names):
    """Compute all figures that follow from labels and logits, JSON-able.

    Args:
        labels: int [N], at least one.
        logits: float [N, C].
        class_names: C of them.
    Returns:
        dict: the keys of evaluation.json from `images` to `calibration`.
    """
    confidences = scores.probabilities(logits).max(axis=1)
    predicted = logits.argmax(axis=1)
    ranks = scores.ranks(labels, logits)
    confusion = scores.confusion_matrix(labels, predicted, len(class_names))
    bins = scores.reliability(confidences, predicted == labels)
    hits, count = int(np.sum(ranks == 0)), len(labels)
    return {
        "images": count,
        "accuracy": hits / count,
        "accuracy_interval": list(scores.interval(hits, count)),
        "top5_accuracy": float(np.mean(ranks < 5)) if len(class_names) > 5 else None,
        "loss": scores.cross_entropy(labels, logits),
        "macro": metrics.macro(confusion),
        "weighted": metrics.weighted(confusion),
        "per_class": describe_classes(confusion, class_names),
        "confusion": confusion.tolist(),
        "confused_pairs": [
            dict(zip(("true", "predicted", "images", "fraction"), pair, strict=True))
            for pair in scores.confused_pairs(confusion)
        ],
        "calibration": {
            "error": scores.expected_calibration_error(bins),
            "confidence": float(confidences.mean()),
            "bins": [
                {
                    name: None if np.isnan(value) else value.item()
                    for name, value in zip(bins._fields, values, strict=True)
                }
                for values in zip(*bins, strict=True)
            ],
        },
    }


def describe_classes(confusion, class_names):
    """Compute `per_class` of evaluation.json."""
    by_class = {name: values.tolist() for name, values in metrics.by_class(confusion).items()}
    hits, images = np.diagonal(confusion).tolist(), confusion.sum(axis=1).tolist()
    predicted = confusion.sum(axis=0).tolist()

    def describe_class(i, name):
        interval = scores.interval(hits[i], images[i])
        return {
            "name": name,
            "images": images[i],
            "predicted": predicted[i],
            "accuracy": hits[i] / images[i] if images[i] else None,
            "accuracy_interval": interval and list(interval),
            **{score: values[i] for score, values in by_class.items()},
        }

    return [describe_class(i, name) for i, name in enumerate(class_names)]


def measure_speed(run, images):
    """Measure `speed` of evaluation.json: images and parameters are on the device, which the clock waits for."""
    step, variables, speed = trained.logits_step(run.inference), jax.device_put(run.variables), []
    for size in SPEED_BATCHES:
        batch = jax.device_put(images[np.arange(size) % len(images)])
        speed.append(time_calls(functools.partial(step, variables, batch), size))
    return speed


def time_calls(call, batch, clock=time.perf_counter):
    """Time repeated calls, after one that compiles and warms up.

    Args:
        call: () -> arrays of `batch` images' results; each is waited for.
        batch: images a call.
        clock: () -> seconds.
    Returns:
        dict: `batch`, `milliseconds` (median of the calls), `images_per_second` (at that median), `calls`: as
        many as a second holds, at least 5 and at most 200.
    """
    jax.block_until_ready(call())
    times, began = [], clock()
    while len(times) < LEAST_CALLS or (clock() - began < SECONDS and len(times) < MOST_CALLS):
        started = clock()
        jax.block_until_ready(call())
        times.append(clock() - started)
    median = statistics.median(times)
    return {
        "batch": batch,
        "milliseconds": 1000 * median,
        "images_per_second": batch / median,
        "calls": len(times),
    }


def open_folder(folder):
    """Make a folder for results, and try to write to it, before anything is computed for it.

    Raises:
        UserError: it can't be written.
    """
    folder = pathlib.Path(folder).expanduser()
    with files.refusals(f"to {folder}", "; choose another --out"):
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".partial"
        probe.touch()
        probe.unlink()
    return folder


def earlier(folder, name, kind, describe):
    """List the line that says that results in a folder are about to be replaced; none where none are there.

    Replaced, and not written beside: a report shows what lies in a run's folder, and that is to be the last.

    Args:
        folder: path.
        name: of the file that tells.
        kind: what is replaced, in words.
        describe: path of that file -> what it holds, in words.
    """
    path = pathlib.Path(folder).expanduser() / name
    if not path.exists():
        return []
    try:
        held = describe(path)
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile):
        held = f"{name}, which can't be read"
    return [f"replaced: {kind} of an earlier call ({held})"]


def earlier_evaluation(folder):
    """Do as `earlier` for evaluation.json."""

    def words(path):
        held = json.loads(path.read_text(encoding="utf-8"))
        return f"{held['images']:,} {held['split']} images, step {held['step']:,}"

    return earlier(folder, "evaluation.json", "the evaluation", words)


def earlier_comparison(folder):
    """Do as `earlier` for comparison.json."""

    def words(path):
        held = json.loads(path.read_text(encoding="utf-8"))
        return ", ".join(str(run["name"]) for run in held["runs"])

    return earlier(folder, "comparison.json", "the comparison", words)


def write(folder, evaluation, predictions):
    """Write evaluation.json and predictions.npz, each whole or not at all."""
    with files.replacing(folder / "predictions.npz") as partial:
        np.savez(partial, **predictions)
    files.write_json(folder / "evaluation.json", evaluation)
