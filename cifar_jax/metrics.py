"""The sums of training (a CLU metric collection), and the figures that follow from a confusion matrix."""

import flax
import jax
import jax.numpy as jnp
import numpy as np
from clu import metrics as clu_metrics

NEVER = np.iinfo(np.int32).max


@flax.struct.dataclass
class FirstNonFinite(clu_metrics.Metric):
    """The first step whose loss was NaN or infinite; NEVER where all were finite."""

    step: jax.Array  # int32 []

    @classmethod
    def empty(cls):
        return cls(step=jnp.int32(NEVER))

    @classmethod
    def from_model_output(cls, loss, step, **_):
        return cls(step=jnp.where(jnp.isfinite(loss), NEVER, step).astype(jnp.int32))

    def merge(self, other):
        return self.replace(step=jnp.minimum(self.step, other.step))

    def compute(self):
        return self.step


@flax.struct.dataclass
class TrainMetrics(clu_metrics.Collection):
    """Sums over the steps of a log interval; all of it stays on the device until the interval ends."""

    loss: clu_metrics.Average.from_output("loss")
    accuracy: clu_metrics.Accuracy
    learning_rate: clu_metrics.LastValue.from_output("learning_rate")
    first_nonfinite: FirstNonFinite


@flax.struct.dataclass
class EvalMetrics:
    """Sums over evaluated images.

    `loss` is the summed cross entropy, float32 []; `confusion` is int32 [true class, predicted class].
    """

    loss: jax.Array
    confusion: jax.Array

    @classmethod
    def empty(cls, num_classes):
        return cls(loss=jnp.float32(0), confusion=jnp.zeros((num_classes, num_classes), jnp.int32))

    def add(self, losses, logits, labels, mask):
        """Add a batch: losses, labels and mask [B], logits [B, C]; masked images count nothing."""
        predicted = jnp.argmax(logits, axis=-1)
        return EvalMetrics(
            loss=self.loss + jnp.sum(jnp.where(mask, losses, 0)),
            confusion=self.confusion.at[labels, predicted].add(mask.astype(jnp.int32)),
        )


def summarize(evaluated):
    """Return the figures of an EvalMetrics as plain Python numbers.

    Returns:
        dict: `count`, `loss` (mean, nats), `accuracy` (fraction), `precision`, `recall` and `f1` (means over the
        classes, see `macro`), `per_class_accuracy` (list; the recall of each class, NaN-free: None for a
        class without images).
    """
    confusion = np.asarray(evaluated.confusion)
    total, per_class = int(confusion.sum()), confusion.sum(axis=1)
    correct = np.diagonal(confusion)
    return {
        "count": total,
        "loss": float(evaluated.loss) / max(total, 1),
        "accuracy": float(correct.sum()) / max(total, 1),
        **macro(confusion),
        "per_class_accuracy": [
            float(hit) / int(n) if n else None for hit, n in zip(correct, per_class, strict=True)
        ],
    }


def by_class(confusion):
    """Compute precision, recall and F1 of each class.

    A class without predictions has precision 0, one without images recall 0, and F1 is 0 where both are: as
    scikit-learn's with zero_division=0.

    Args:
        confusion: int [true class, predicted class].
    Returns:
        dict of float [C]: `precision`, `recall`, `f1`.
    """
    correct = np.diagonal(confusion).astype(float)
    predicted, true = confusion.sum(axis=0), confusion.sum(axis=1)
    return {
        "precision": correct / np.maximum(predicted, 1),
        "recall": correct / np.maximum(true, 1),
        "f1": 2 * correct / np.maximum(predicted + true, 1),
    }


def macro(confusion):
    """Compute the means of `by_class`, each the plain one over the classes that have an image or a prediction.

    As scikit-learn's with average="macro" and zero_division=0.

    Args:
        confusion: int [true class, predicted class].
    Returns:
        dict of floats: `precision`, `recall`, `f1`.
    """
    there = confusion.sum(axis=0) + confusion.sum(axis=1) > 0
    return {
        name: float(np.mean(values[there])) if there.any() else 0.0
        for name, values in by_class(confusion).items()
    }


def weighted(confusion):
    """Compute the means of `by_class`, each class counting as often as it has images.

    As scikit-learn's with average="weighted" and zero_division=0; the recall is then the accuracy.

    Args:
        confusion: int [true class, predicted class].
    Returns:
        dict of floats: `precision`, `recall`, `f1`.
    """
    share = confusion.sum(axis=1) / max(confusion.sum(), 1)
    return {name: float(share @ values) for name, values in by_class(confusion).items()}
