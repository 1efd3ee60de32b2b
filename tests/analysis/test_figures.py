"""What is drawn: the numbers in the figures, and that odd runs have figures too."""

import numpy as np
import pytest

from cifar_jax.analysis import curves, figures, result


def described(num_classes, count=60, absent=False):
    random = np.random.default_rng(0)
    labels = random.integers(0, num_classes - absent, count).astype(np.int32)
    logits = random.normal(size=(count, num_classes)).astype(np.float32)
    logits[np.arange(count), labels] += 2
    names = [f"class {i}" for i in range(num_classes)]
    found = result.describe(labels, logits, names)
    about = {"dataset": {"name": "odd", "class_names": names}, "model": {"name": "net"}}
    about |= {"split": "test", "config": {"selection": "last"}, "checkpoint": "best", "step": 7}
    return found | about, {"label": labels, "logits": logits}


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
    loss, accuracy, rate = curves.draw(ROWS, "epoch", ("best", 125)).axes
    train, validation, mark = loss.lines[:3]
    assert train.get_xydata().tolist() == [[1, 1.8], [2, 0.8]]
    assert validation.get_xydata().tolist() == [[1, 1.5], [2, 1.25]]
    assert mark.get_xdata() == [1, 1]
    assert accuracy.lines[1].get_ydata().tolist() == [45, 50]
    assert rate.lines[0].get_xydata().tolist() == [[0.8, 0.1], [1, 0.1], [1.8, 0.05], [2, 0.05]]


def test_curves_by_step_merge_the_short_interval_at_an_epochs_end():
    loss, accuracy, _ = curves.draw(ROWS, "step").axes
    assert loss.lines[0].get_xydata().tolist() == [[125, 1.8], [250, 0.8]]
    np.testing.assert_allclose(accuracy.lines[0].get_ydata(), [34, 62])


def test_curves_of_odd_runs():
    without_validation = [each for each in ROWS[:3] if each["split"] != "validation"]
    loss, *_ = curves.draw(without_validation, "epoch", ("last", 125)).axes
    assert loss.lines[0].get_marker() == "o" and loss.lines[0].get_label() == "training"
    assert curves.draw([], "epoch") is None
    assert curves.draw(ROWS[:1], "epoch") is None  # killed within the first epoch
    assert curves.draw(ROWS[:1], "step", ("last", 100)) is not None
    on_test = curves.draw(ROWS, "epoch", selected_on="test").axes[0]
    assert on_test.lines[1].get_label() == "test"


def test_a_resumed_run_counts_each_step_once():
    again = [*ROWS, ROWS[3] | {"loss": 9.0}]
    validation = curves.draw(again, "epoch").axes[0].lines[1]
    assert validation.get_xydata().tolist() == [[1, 9.0], [2, 1.25]]


def test_cells_of_a_confusion_matrix_hold_counts_and_per_cent():
    matrix = np.array([[3, 1], [0, 12]])
    axes = figures.confusion(matrix, ["no", "yes"], "title").axes[0]
    assert {text.get_text() for text in axes.texts} == {"3\n75.0 %", "1\n25.0 %", "12\n100.0 %"}
    many = figures.confusion(np.eye(100, dtype=int), [str(i) for i in range(100)], "title")
    assert not many.axes[0].texts and len(many.axes[0].get_yticklabels()) == 100


@pytest.mark.parametrize("num_classes", [2, 10, 100])
def test_bars_and_reliability_fit_the_evaluation(num_classes):
    evaluation, _ = described(num_classes, count=300, absent=num_classes > 2)
    classes = figures.classes(evaluation["per_class"], evaluation["accuracy"], "").axes[0]
    shown = [each["accuracy"] for each in evaluation["per_class"] if each["images"]]
    np.testing.assert_allclose([bar.get_width() for bar in classes.patches], 100 * np.array(shown))
    assert not any(line.get_clip_on() for line in classes.lines[:-1])  # those at 100 are seen whole
    bins = [each for each in evaluation["calibration"]["bins"] if each["images"]]
    top, bottom = figures.reliability(evaluation["calibration"], "").axes
    assert [bar.get_height() for bar in bottom.patches] == [each["images"] for each in bins]
    np.testing.assert_allclose(
        [bar.get_height() for bar in top.patches], [100 * each["accuracy"] for each in bins]
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
