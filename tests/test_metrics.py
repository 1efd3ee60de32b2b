"""Sums and what follows from them."""

import jax.numpy as jnp
import numpy as np

from cifar_jax import metrics


def test_summary_of_a_confusion_matrix():
    confusion = jnp.array([[8, 2, 0], [1, 3, 0], [0, 0, 0]])
    found = metrics.summarize(metrics.EvalMetrics(loss=jnp.float32(7), confusion=confusion))
    assert found == {
        "count": 14,
        "loss": 0.5,
        "accuracy": 11 / 14,
        "per_class_accuracy": [0.8, 0.75, None],
    }


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
    found = {name: float(value) for name, value in sums.compute().items()}
    assert found["loss"] == 2.0 and found["accuracy"] == 0.75
    assert found["learning_rate"] == np.float32(0.2) and found["first_nonfinite"] == metrics.NEVER
