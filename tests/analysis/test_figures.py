"""What is drawn: the numbers in the figures, and that odd runs have figures too."""

import numpy as np
import pytest

from cifar_jax.analysis import figures, result
from cifar_jax.analysis.charts import evaluation as charts
from cifar_jax.analysis.charts import training


def values(part, chart):
    """The rows that a part of a chart shows."""
    return part.get("data", chart.get("data"))["values"]


def points(chart, part, layer=0):
    """[x, value] of the points of each series of a part of a figure of curves."""
    series = {}
    for each in values(chart["vconcat"][part]["layer"][layer], chart):
        series.setdefault(each["series"], []).append([each["x"], each["value"]])
    return series


def drawn(*arguments, **options):
    return training.of_file(*arguments, **options).to_dict()


def described(num_classes, count=60, absent=False):
    random = np.random.default_rng(0)
    labels = random.integers(0, num_classes - absent, count).astype(np.int32)
    logits = random.normal(size=(count, num_classes)).astype(np.float32)
    logits[np.arange(count), labels] += 2
    names = [f"class {i}" for i in range(num_classes)]
    evaluation = result.describe(labels, logits, names)
    about = {"dataset": {"name": "odd", "class_names": names}, "model": {"name": "net"}}
    about |= {"split": "test", "config": {"selection": "last"}, "checkpoint": "best", "step": 7}
    return evaluation | about, {"label": labels, "logits": logits}


def row(split, step, epoch, loss, accuracy, **more):
    return {"split": split, "step": step, "epoch": epoch, "loss": loss, "accuracy": accuracy} | more


ROWS = [
    row("train", 100, 1, 2.0, 0.3, learning_rate=0.1),
    row("train", 125, 1, 1.0, 0.5, learning_rate=0.1),
    row("train_epoch", 125, 1, 1.8, 0.34),
    row("validation", 125, 1, 1.5, 0.45),
    row("train", 225, 2, 0.8, 0.6, learning_rate=0.05),
    row("train", 250, 2, 0.8, 0.7, learning_rate=0.05),
    row("train_epoch", 250, 2, 0.8, 0.62),
    row("validation", 250, 2, 1.25, 0.5),
]


def test_curves_by_epoch():
    chart = drawn(ROWS, "epoch", ("best", 125))
    assert points(chart, 0, 2) == {
        **{"training": [[1, 1.8], [2, 0.8]], "validation": [[1, 1.5], [2, 1.25]]}
    }
    (mark,) = values(chart["vconcat"][0]["layer"][0], chart)
    assert mark == {"x": 1, "label": "checkpoint best, step 125, epoch 1"}
    assert [y for _, y in points(chart, 1, 1)["validation"]] == [45, 50]
    rates = [[0.8, 0.1], [1, 0.1], [1.8, 0.05], [2, 0.05]]
    assert points(chart, 2, 1) == {"learning rate": rates}


def test_curves_by_step_merge_the_short_interval_at_an_epochs_end():
    chart = drawn(ROWS, "step", ("best", 125))
    assert points(chart, 0, 2)["training"] == [[125, 1.8], [250, 0.8]]
    np.testing.assert_allclose(points(chart, 1, 1)["training"], [[125, 34], [250, 62]])


def test_curves_of_odd_runs():
    without_validation = [each for each in ROWS[:3] if each["split"] != "validation"]
    chart = drawn(without_validation, "epoch", ("last", 125))
    assert points(chart, 0, 2).keys() == {"training"}
    assert chart["vconcat"][0]["layer"][-1]["mark"]["type"] == "point"
    last = ("last", 100)
    assert training.of_file([], "epoch", last) is None
    assert training.of_file(ROWS[:1], "epoch", last) is None  # killed within the first epoch
    assert training.of_file(ROWS[:1], "step", last) is not None
    assert "test" in points(drawn(ROWS, "epoch", last, selected_on="test"), 0, 2)


def test_a_resumed_run_counts_each_step_once():
    again = [*ROWS, ROWS[3] | {"loss": 9.0}]
    chart = drawn(again, "epoch", ("last", 250))
    assert points(chart, 0, 2)["validation"] == [[1, 9.0], [2, 1.25]]


def test_cells_of_a_confusion_matrix_hold_counts_and_per_cent():
    matrix = np.array([[3, 1], [0, 12]])
    chart = charts.confusion(matrix, ["no", "yes"], "title").to_dict()
    cells = {(each["images"], each["share"]) for each in values(chart, chart)}
    assert cells == {(3, 0.75), (1, 0.25), (0, 0), (12, 1)}
    texts = [each for each in chart["layer"] if each["mark"]["type"] == "text"]
    assert [each["encoding"]["text"]["field"] for each in texts] == ["images", "share"]
    many = charts.confusion(np.eye(100, dtype=int), [str(i) for i in range(100)], "title").to_dict()
    assert [each["mark"]["type"] for each in many["layer"]] == ["rect", "point"]  # and a key


@pytest.mark.parametrize("num_classes", [2, 10, 100])
def test_bars_and_reliability_fit_the_evaluation(num_classes):
    evaluation, _ = described(num_classes, count=300, absent=num_classes > 2)
    chart = charts.classes(evaluation["per_class"], evaluation["accuracy"], "title").to_dict()
    bars = values(chart["layer"][0], chart)
    shown = [each["accuracy"] for each in evaluation["per_class"] if each["images"]]
    np.testing.assert_allclose([each["accuracy"] for each in bars], 100 * np.array(shown))
    axis = chart["layer"][0]["encoding"]["y"]["scale"]["domain"]
    assert len(axis) == num_classes  # absent ones, too
    bins = [each for each in evaluation["calibration"]["bins"] if each["images"]]
    chart = charts.reliability(evaluation["calibration"], "title").to_dict()
    for part in (chart["vconcat"][0]["layer"][0], chart["vconcat"][1]):
        rows = values(part, chart)
        assert [each["images"] for each in rows] == [each["images"] for each in bins]
        np.testing.assert_allclose(
            [each["accuracy"] for each in rows], [100 * each["accuracy"] for each in bins]
        )


def test_examples_are_the_most_confident_or_drawn():
    which = np.array([True, True, False, True])
    confidences = np.array([0.5, 0.9, 0.99, 0.7])
    assert figures.examples(which, confidences).tolist() == [1, 3, 0]
    assert figures.examples(which, confidences, most=2).tolist() == [1, 3]
    drawn = figures.examples(which, confidences, seed=1)
    assert sorted(drawn) == [0, 1, 3]
    np.testing.assert_array_equal(drawn, figures.examples(which, confidences, seed=1))


def test_images_say_truth_answer_and_confidence():
    images = np.zeros((2, 32, 32, 3), np.uint8)
    probabilities = np.array([[0.02, 0.98], [0.0001, 0.9999]])
    names = ["cat", "a name that is much too long"]
    grid = figures.image_grid(images, np.array([0, 1]), probabilities, names)
    titles = [axes.get_title() for axes in grid.axes[:2]]
    first, second = titles[0].split("\n")
    assert first == "cat" and second.startswith("→ a name") and second.endswith("…long, 98.0 %")
    assert titles[1].endswith("> 99.9 %")
    assert figures.image_grid(images[:0], [], probabilities[:0], names) is None
