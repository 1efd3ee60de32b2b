"""Sums and what follows from them."""

import jax.numpy as jnp
import numpy as np
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from cifar_jax import metrics


def test_summary_of_a_confusion_matrix():
    confusion = jnp.array([[8, 2, 0], [1, 3, 0], [0, 0, 0]])
    summary = metrics.summarize(metrics.EvalMetrics(loss=jnp.float32(7), confusion=confusion))
    assert summary == {
        "count": 14,
        "loss": 0.5,
        "accuracy": 11 / 14,
        "precision": (8 / 9 + 3 / 5) / 2,
        "recall": (0.8 + 0.75) / 2,
        "f1": (16 / 19 + 6 / 9) / 2,
        "per_class_accuracy": [0.8, 0.75, None],
    }


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1))
def test_means_over_classes_are_scikit_learns(pairs):
    true, predicted = zip(*pairs, strict=True)
    confusion = sklearn.metrics.confusion_matrix(true, predicted, labels=range(5))
    means = metrics.macro(confusion)
    expected = sklearn.metrics.precision_recall_fscore_support(
        true, predicted, average="macro", zero_division=0
    )
    np.testing.assert_allclose(list(means.values()), expected[:3])


def test_masked_images_count_nothing():
    sums = metrics.EvalMetrics.empty(2).add(
        losses=jnp.array([1.0, jnp.nan, 3.0]),
        logits=jnp.array([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]]),
        labels=jnp.array([1, 1, 1]),
        mask=jnp.array([True, False, True]),
    )
    np.testing.assert_array_equal(sums.confusion, [[0, 0], [1, 1]])
    assert float(sums.loss) == 4.0


def test_train_metrics_average_over_steps():
    sums = metrics.TrainMetrics.empty()
    for step, (loss, rate) in enumerate([(1.0, 0.1), (3.0, 0.2)]):
        sums = sums.merge(
            metrics.TrainMetrics.single_from_model_output(
                loss=jnp.float32(loss),
                logits=jnp.array([[0.0, 1.0], [0.0, 1.0]]),
                labels=jnp.array([1, step]),
                learning_rate=jnp.float32(rate),
                step=jnp.int32(step),
            )
        )
    values = {name: float(value) for name, value in sums.compute().items()}
    assert values["loss"] == 2.0 and values["accuracy"] == 0.75
    assert values["learning_rate"] == np.float32(0.2) and values["first_nonfinite"] == metrics.NEVER
