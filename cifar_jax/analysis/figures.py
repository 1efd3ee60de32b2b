"""Figures of an evaluation: confusion matrix, classes, calibration, example images; its curves are of `curves`."""

import numpy as np
from matplotlib.colors import PowerNorm

from cifar_jax.analysis import curves, scores, style
from cifar_jax.console.tables import FEW_CLASSES, confidence

GRID = (4, 6)  # rows and columns of example images
NAME, TILE = 1.5, 1.3  # inches that a class' name gets beside an axis, and over an image


def write(folder, evaluation, predictions, images, rows, seed=None):
    """Writes every figure of an evaluation as PNG and SVG.

    Args:
        folder: path.
        evaluation, predictions: of result.evaluate.
        images: uint8 [N, H, W, C], in the order of the predictions.
        rows: of the run's metrics.jsonl.
        seed: of the choice of example images; None for the most confident ones.
    Returns:
        the paths.
    """
    names = evaluation["dataset"]["class_names"]
    title = title_of(evaluation)
    drawn = {
        "confusion": confusion(np.array(evaluation["confusion"]), names, title),
        "classes": classes(evaluation["per_class"], evaluation["accuracy"], title),
        "reliability": reliability(evaluation["calibration"], title),
    }
    selected_on = "test" if evaluation["config"]["selection"] == "test" else "validation"
    chosen = (evaluation["checkpoint"], evaluation["step"])
    for axis in ("epoch", "step"):
        drawn[f"curves_by_{axis}"] = curves.draw(rows, axis, chosen, selected_on)
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
    paths = []
    for name, figure in drawn.items():
        paths += style.save(figure, folder, name) if figure else []
    return paths


def title_of(evaluation):
    """As "modified_net on cifar10, 10,000 test images: 61.53 %"."""
    model, dataset = (style.words(evaluation[each]["name"], 2) for each in ("model", "dataset"))
    return (
        f"{model} on {dataset}, {evaluation['images']:,} {evaluation['split']} images: "
        f"{100 * evaluation['accuracy']:.2f} %"
    )


def confusion(matrix, class_names, title):
    """A confusion matrix, shaded by the share of each true class.

    Args:
        matrix: int [true class, predicted class].
        class_names: of its lines.
        title: str.
    Returns:
        matplotlib.figure.Figure.
    """
    side = _side(len(class_names))
    figure = style.new(side + 0.8, side)
    axes = figure.subplots()
    title = title if side > 6 else title.replace(", ", "\n", 1)
    _draw_confusion(figure, [axes], [matrix], class_names, [title])
    return figure


def confusions(comparison):
    """The confusion matrices of a comparison side by side, as of comparison.compare."""
    runs, names = comparison["runs"], comparison["dataset"]["class_names"]
    columns = min(len(runs), 2 if len(runs) in (2, 4) else 3)
    lines = -(-len(runs) // columns)
    side = _side(len(names))
    figure = style.new(side * columns + 0.8, side * lines)
    parts = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axes in parts[len(runs) :]:
        axes.set_axis_off()
    titles = [
        f"{style.words(run['name'], side - 2)}: {100 * run['accuracy']:.2f} %" for run in runs
    ]
    matrices = [np.array(run["confusion"]) for run in runs]
    _draw_confusion(figure, parts[: len(runs)], matrices, names, titles)
    return figure


def _side(count):
    """Inches of a confusion matrix of so many classes, with its labels."""
    return 9.2 if count > FEW_CLASSES else max(4.6, 2.2 + 0.48 * count)


def _draw_confusion(figure, parts, matrices, class_names, titles):
    figure.set_layout_engine("compressed")  # room for squares
    count = len(class_names)
    ticks = 9 if count <= FEW_CLASSES else max(3.5, min(8, 420 / count))
    class_names = [style.words(each, NAME, ticks) for each in class_names]
    # Among many classes each confusion is rare: more shades for small shares.
    norm = PowerNorm(1 if count <= FEW_CLASSES else 0.5, 0, 100)
    for axes, matrix, title in zip(parts, matrices, titles, strict=True):
        shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        shown = axes.imshow(100 * shares, cmap="Blues", norm=norm)
        axes.set_title(title, fontsize=10)
        axes.set_xticks(range(count), class_names, rotation=90, fontsize=ticks)
        axes.set_yticks(range(count), class_names, fontsize=ticks)
        axes.tick_params(length=2)
        axes.set_xlabel("Predicted class")
        axes.set_ylabel("True class")
        if count <= FEW_CLASSES:
            for true, predicted in zip(*np.nonzero(matrix), strict=True):
                share = shares[true, predicted]
                axes.text(
                    predicted, true, f"{matrix[true, predicted]:,}\n{100 * share:.1f} %",
                    ha="center", va="center", fontsize=7, color="white" if share > 0.7 else "black",
                )  # fmt: skip
    bar = figure.colorbar(shown, ax=parts, shrink=0.8, aspect=40, pad=0.01)
    bar.set_label("Share of the true class, %")


def classes(per_class, accuracy, title):
    """Accuracy of each class with its interval, and its precision.

    Args:
        per_class: of an evaluation.
        accuracy: of all images, a fraction.
        title: str.
    Returns:
        matplotlib.figure.Figure.
    """
    count = len(per_class)
    figure = style.new(7.2, 1.4 + max(0.13, 0.34 * min(1, 14 / count)) * count)
    axes = figure.subplots()
    there = [i for i, each in enumerate(per_class) if each["images"]]
    values = 100 * np.array([per_class[i]["accuracy"] for i in there])
    ends = 100 * np.array([per_class[i]["accuracy_interval"] for i in there])
    axes.barh(
        there, values, height=0.72, color=style.COLOURS[5], label="accuracy, 95 % interval",
        xerr=np.abs(ends.T - values),
        error_kw={"elinewidth": 1.1, "capsize": 9 * min(0.3, 4 / count), "clip_on": False},
    )  # fmt: skip
    answered = [i for i, each in enumerate(per_class) if each["predicted"]]
    axes.plot(
        [100 * per_class[i]["precision"] for i in answered], answered, "D", label="precision",
        markersize=min(5, max(2.5, 60 / count)), color=style.COLOURS[1], markeredgecolor="black",
        markeredgewidth=0.6, clip_on=False,
    )  # fmt: skip
    axes.axvline(100 * accuracy, color="0.3", linestyle="--", linewidth=1, label="all classes")
    size = 9 if count <= 30 else 6
    names = [style.words(each["name"], NAME, size) for each in per_class]
    axes.set_yticks(range(count), names, fontsize=size)
    axes.set_ylim(count - 0.4, -0.6)  # the first class on top
    axes.set_xlim(0, 100)
    axes.set_xlabel("Per cent")
    style.plain(axes)
    axes.grid(axis="y", visible=False)
    axes.set_axisbelow(True)
    axes.set_title(title, fontsize=10)
    handles, labels = axes.get_legend_handles_labels()  # bars come last
    figure.legend(
        handles[::-1], labels[::-1], loc="outside lower center", ncols=3, fontsize=9, frameon=False
    )
    return figure


def reliability(calibration, title):
    """Accuracy against confidence, with the diagonal of a calibrated model; the images of each bin below.

    Args:
        calibration: of an evaluation.
        title: str.
    Returns:
        matplotlib.figure.Figure.
    """
    figure = style.new(5.6, 6.2)
    top, bottom = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    bins = [each for each in calibration["bins"] if each["images"]]
    low, high, confidence, accuracy = (
        100 * np.array([each[name] for each in bins])
        for name in ("low", "high", "confidence", "accuracy")
    )
    ends = 100 * np.array([scores.interval(each["hits"], each["images"]) for each in bins])
    top.bar(
        low, accuracy, high - low, align="edge", color=style.COLOURS[5], edgecolor="white",
        label="accuracy",
    )  # fmt: skip
    top.errorbar(
        confidence, accuracy, np.abs(ends.T - accuracy), fmt="o", markersize=4, capsize=2.5,
        color="black", elinewidth=1.1, label="95 % interval, at the mean confidence", clip_on=False,
    )  # fmt: skip
    top.plot([0, 100], [0, 100], color=style.COLOURS[1], linestyle="--", label="calibrated")
    top.set_ylabel("Accuracy, %")
    top.set_xlim(0, 100)
    top.set_ylim(0, 102)
    top.set_title(
        f"{title}\ncalibration error {100 * calibration['error']:.2f} %, mean confidence "
        f"{100 * calibration['confidence']:.2f} %",
        fontsize=10,
    )
    images = [each["images"] for each in bins]
    bottom.bar(low, images, high - low, align="edge", color="0.6", edgecolor="white")
    bottom.set_yscale("log")
    bottom.set_ylim(0.7)
    bottom.set_ylabel("Images (log)")
    bottom.set_xlabel("Confidence: probability of the predicted class, %")
    for axes in (top, bottom):
        style.plain(axes)
        axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    return figure


def examples(which, confidences, seed=None, most=GRID[0] * GRID[1]):
    """The numbers of images to show.

    Args:
        which: bool [N], those to choose from.
        confidences: float [N].
        seed: None for the most confident ones, else they are drawn.
        most: how many at most.
    Returns:
        int [M].
    """
    found = np.flatnonzero(which)
    if seed is None:
        return found[np.argsort(-confidences[found], kind="stable")][:most]
    return np.random.default_rng(seed).permutation(found)[:most]


def image_grid(images, labels, probabilities, class_names):
    """Images with their true class, the predicted one and its probability.

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
    for axes, image, label, found in zip(parts, images, labels, probabilities, strict=False):
        predicted = found.argmax()
        axes.imshow(image, interpolation="nearest")
        answered, sure = "→ ", f", {confidence(found[predicted])}"
        room = TILE - style.width(answered + sure, 7)
        true = style.words(class_names[label], TILE, 7)
        answer = style.words(class_names[predicted], room, 7)
        axes.set_title(f"{true}\n{answered}{answer}{sure}", fontsize=7)
    return figure
