"""The charts of the page: specifications, each with its height in pixels."""

from cifar_jax.analysis.charts import dots, evaluation, scores, training
from cifar_jax.analysis.charts.vega import specify
from cifar_jax.console.tables import FEW_CLASSES


def curves(rows, chosen, selected_on):
    """Return (name -> specification, words for a point of training); arguments as of training.of_page."""
    heights = {"loss": 240, "accuracy": 240, "learning_rate": 110}
    drawn, of_points = training.of_page(rows, chosen, selected_on)
    return {name: specify(chart, heights[name]) for name, chart in drawn.items()}, of_points


def of_evaluation(about):
    """Return name -> specification of the charts of an evaluation."""
    few = len(about["per_class"]) <= FEW_CLASSES
    count = len(about["per_class"])
    matrix = evaluation.confusion(about["confusion"], about["dataset"]["class_names"])
    diagram, counts = evaluation.calibration(about["calibration"])
    return {
        "confusion": specify(matrix, (34 if few else 9) * count),
        "classes": specify(
            evaluation.classes(about["per_class"], about["accuracy"]), (30 if few else 13) * count
        ),
        "calibration": specify(diagram, 280),
        "counts": specify(counts, 80),
    }


def compared(evaluations, rows_of):
    """Return name -> specification of the charts of several runs: of accuracy, and its curves if there are any.

    Args:
        evaluations: name -> evaluation.
        rows_of: name -> rows of writers.read_rows.
    """
    drawn = {
        "compare-accuracy": specify(dots.runs_accuracy(evaluations), 38 * len(evaluations) + 10)
    }
    if validation := training.runs_validation(rows_of):
        drawn["compare-validation"] = specify(validation, 260)
    return drawn


def detection(results):
    """Return the specification of the AUROC of what ood.json holds."""
    height = 22 + 9 * len(results["sets"])
    return specify(dots.detection(results), height * len(results["scores"]))


def histogram(counted, threshold, title):
    """Return the specification of a score's histogram; arguments as of scores.histogram."""
    return specify(scores.histogram(counted, threshold, title), 130)
