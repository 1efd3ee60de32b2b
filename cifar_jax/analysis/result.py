"""evaluation.json and predictions.npz: what a checkpoint does on a split, for people and machines.

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
import pathlib

import jax
import numpy as np

from cifar_jax import metrics, trained
from cifar_jax.analysis import calibration, scores, speed
from cifar_jax.errors import UserError
from cifar_jax.machine import files, runtime
from cifar_jax.models import cost

ACTIVATION_BATCH = 128  # as cifar_jax.summary's
SPEED_BATCHES = (1, 256)


def evaluate(run, split, data, with_speed=True):
    """Evaluates a checkpoint on a split.

    Args:
        run: trained.Trained.
        split: "test", "validation" or "train".
        data: of trained.split.
        with_speed: whether to measure it, which takes some seconds.
    Returns:
        (evaluation, predictions): dicts of what evaluation.json and predictions.npz hold.
    Raises:
        UserError: the model answers with NaN or infinity.
    """
    images, labels, index = data
    logits = trained.logits(run, images)
    if not np.isfinite(logits).all():
        raise UserError(
            f"checkpoint {run.step} of {run.workdir} answers with NaN or infinity; choose an earlier "
            "--checkpoint"
        )
    measured = measure_speed(run, images) if with_speed else None
    predictions = {
        "index": np.asarray(index, np.int64),
        "label": np.asarray(labels, np.int32),
        "logits": logits,
    }
    return assemble(run, split, predictions, measured), predictions


def assemble(run, split, predictions, measured):
    """What evaluation.json holds, of predictions.

    Args:
        run: trained.Trained.
        split: "test", "validation" or "train".
        predictions: what predictions.npz holds.
        measured: of measure_speed, or None.
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
        "model": describe_model(run),
        "speed": measured,
        "config": run.config.to_dict(),
        "versions": runtime.versions(),
        "hardware": runtime.hardware(),
    }


def optimistic(config, checkpoint, split):
    """Why the figures of a split are better than those of new images would be; None where they are not."""
    if split == "train":
        return "the model was trained on these images"
    chosen_on = "test" if config.selection == "test" else "validation"
    if split == chosen_on and checkpoint != "last":
        return "the checkpoint was chosen on these images"
    return None


def describe(labels, logits, class_names):
    """What labels and logits say, JSON-able.

    Args:
        labels: int [N], at least one.
        logits: float [N, C].
        class_names: C of them.
    Returns:
        dict: the keys of evaluation.json from `images` to `calibration`.
    """
    probabilities = scores.probabilities(logits)
    predicted = logits.argmax(axis=1)
    ranks = scores.ranks(labels, logits)
    confusion = scores.confusion_matrix(labels, predicted, len(class_names))
    found = calibration.reliability(probabilities.max(axis=1), predicted == labels)
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
            "error": calibration.expected_calibration_error(found),
            "confidence": float(probabilities.max(axis=1).mean()),
            "bins": [_bin(*values) for values in zip(*found, strict=True)],
        },
    }


def _bin(low, high, images, hits, confidence, accuracy):
    filled = images > 0
    return {
        **{"low": float(low), "high": float(high), "images": int(images), "hits": int(hits)},
        "confidence": float(confidence) if filled else None,
        "accuracy": float(accuracy) if filled else None,
    }


def describe_classes(confusion, class_names):
    """`per_class` of evaluation.json."""
    by_class = {name: values.tolist() for name, values in metrics.by_class(confusion).items()}
    hits, images = np.diagonal(confusion).tolist(), confusion.sum(axis=1).tolist()
    predicted = confusion.sum(axis=0).tolist()

    def describe_class(i, name):
        interval = scores.interval(hits[i], images[i])
        return {
            **{"name": name, "images": images[i], "predicted": predicted[i]},
            "accuracy": hits[i] / images[i] if images[i] else None,
            "accuracy_interval": interval and list(interval),
            **{score: values[i] for score, values in by_class.items()},
        }

    return [describe_class(i, name) for i, name in enumerate(class_names)]


def describe_model(run):
    """`model` of evaluation.json."""
    name, num_classes = run.config.model.name, len(run.dataset.class_names)
    params = sum(leaf.size for leaf in jax.tree.leaves(run.variables["params"]))
    return {
        "name": name,
        "params": params,
        "parameter_bytes": 4 * params,
        "activation_bytes": cost.activation_bytes(name, ACTIVATION_BATCH, num_classes),
        "activation_batch": ACTIVATION_BATCH,
        "multiply_adds": cost.multiply_adds(name, num_classes),
    }


def measure_speed(run, images):
    """`speed` of evaluation.json: images and parameters are on the device, results are waited for there."""
    step, variables = trained.logits_step(run.inference), jax.device_put(run.variables)

    def measure(batch):
        one = jax.device_put(images[np.arange(batch) % len(images)])
        return speed.measure(functools.partial(step, variables, one), batch)

    return [measure(batch) for batch in SPEED_BATCHES]


def open_folder(folder):
    """Makes a folder for results; said before what goes into it is computed.

    Raises:
        UserError: it can't be written.
    """
    folder = pathlib.Path(folder).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".partial"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"can't write to {folder} ({error.strerror}); choose another --out"
        ) from error
    return folder


def write(folder, evaluation, predictions):
    """Writes evaluation.json and predictions.npz, each whole or not at all."""
    with files.replacing(folder / "predictions.npz") as partial:
        np.savez(partial, **predictions)
    files.write_json(folder / "evaluation.json", evaluation)
