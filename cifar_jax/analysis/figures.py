"""Figures of an evaluation: confusion matrix, classes, calibration, example images."""

import numpy as np

from cifar_jax.analysis import scores, style
from cifar_jax.analysis.charts import evaluation as charts
from cifar_jax.analysis.charts import training
from cifar_jax.config import kinds
from cifar_jax.console.tables import confidence

GRID = (4, 6)  # rows and columns of example images
TILE = 1.3  # inches that a class' name gets over an image


def write(folder, evaluation, predictions, images, rows, seed=None):
    """Write every figure of an evaluation as PNG and SVG.

    Args:
        folder: path.
        evaluation, predictions: of result.evaluate.
        images: uint8 [N, H, W, C], in the order of the predictions.
        rows: of the run's metrics.jsonl.
        seed: of the choice of example images; None for the most confident ones.
    """
    names = evaluation["dataset"]["class_names"]
    title = title_of(evaluation)
    drawn = {
        "confusion": charts.confusion(evaluation["confusion"], names, title),
        "classes": charts.classes(evaluation["per_class"], evaluation["accuracy"], title),
        "reliability": charts.reliability(evaluation["calibration"], title),
    }
    selected_on = "test" if evaluation["config"]["selection"] == "test" else "validation"
    chosen = (evaluation["checkpoint"], evaluation["step"])
    remark = kinds.remark(evaluation["config"])
    for axis in ("epoch", "step"):
        drawn[f"curves_by_{axis}"] = training.of_file(rows, axis, chosen, selected_on, remark)
    labels, logits = predictions["label"], predictions["logits"]
    probabilities = scores.probabilities(logits)
    for name, right in (("well_classified", True), ("misclassified", False)):
        which = (logits.argmax(axis=1) == labels) == right
        shown = examples(which, probabilities.max(axis=1), seed)
        grid = image_grid(images[shown], labels[shown], probabilities[shown], names)
        if grid:
            order = "most confident first" if seed is None else f"drawn at random, seed {seed}"
            words = name.replace("_", " ").capitalize()
            grid.suptitle(
                f"{words}, {order}; {which.sum():,} of {len(which):,}\n"
                "true class → predicted class, confidence",
                fontsize=10,
            )
        drawn[name] = grid
    for name, figure in drawn.items():
        if figure:
            style.save(figure, folder, name)


def title_of(evaluation):
    """Return a title: "modified_net on cifar10, 10,000 test images: 61.53 %"."""
    model, dataset = (style.shortened(evaluation[each]["name"], 2) for each in ("model", "dataset"))
    return (
        f"{model} on {dataset}, {evaluation['images']:,} {evaluation['split']} images: "
        f"{100 * evaluation['accuracy']:.2f} %"
    )


def examples(which, confidences, seed=None, most=GRID[0] * GRID[1]):
    """Return the numbers of images to show.

    Args:
        which: bool [N], those to choose from.
        confidences: float [N].
        seed: None for the most confident ones, else they are drawn.
        most: how many at most.
    Returns:
        int [M].
    """
    numbers = np.flatnonzero(which)
    if seed is None:
        return numbers[np.argsort(-confidences[numbers], kind="stable")][:most]
    return np.random.default_rng(seed).permutation(numbers)[:most]


def image_grid(images, labels, probabilities, class_names):
    """Draw images with their true class, the predicted one and its probability.

    Args:
        images: uint8 [N, H, W, C].
        labels: int [N].
        probabilities: float [N, num_classes].
        class_names: num_classes of them.
    Returns:
        matplotlib.figure.Figure; None without an image.
    """
    if not len(images):
        return None
    columns = GRID[1]
    lines = -(-len(images) // columns)
    figure = style.new(8.4, 0.5 + 1.75 * lines)
    parts = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axes in parts:
        axes.set_axis_off()
    for axes, image, label, row in zip(parts, images, labels, probabilities, strict=False):
        predicted = row.argmax()
        axes.imshow(image, interpolation="nearest")
        answered, sure = "→ ", f", {confidence(row[predicted])}"
        room = TILE - style.width(answered + sure, 7)
        true = style.words(class_names[label], TILE, 7)
        answer = style.words(class_names[predicted], room, 7)
        axes.set_title(f"{true}\n{answered}{answer}{sure}", fontsize=7)
    return figure
