"""Losses: pure functions of logits and labels."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from cifar_jax import plugins
from cifar_jax.errors import ConfigError, users_code
from cifar_jax.plugins import Made


def cross_entropy(logits, labels):
    """Compute the cross entropy of each image, in nats: what an evaluation reports, whatever the training loss.

    Args:
        logits: [B, num_classes], computed in float32 (float64 stays).
        labels: int [B].
    Returns:
        [B].
    """
    return optax.softmax_cross_entropy_with_integer_labels(_at_least_float32(logits), labels)


def _at_least_float32(logits):
    return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))


def _cross_entropy(logits, gamma):
    return -jax.nn.log_softmax(logits)


def _softmax_twice(logits, gamma):
    """Compute the cross entropy of a softmax given to a loss that applies softmax itself, by mistake (report 002).

    Its least value is log(1 + (C - 1) / e), 1.461 for ten classes.
    """
    return -jax.nn.log_softmax(jax.nn.softmax(logits))


def _focal(logits, gamma):
    """Compute (1 - p)^gamma times the cross entropy.

    Lin et al., Focal Loss for Dense Object Detection, 2017, https://arxiv.org/abs/1708.02002
    """
    log_p = jax.nn.log_softmax(logits)
    # Away from 0, where the power has no gradient for gamma below 1.
    others = jnp.maximum(-jnp.expm1(log_p), 1e-7)
    return -(others**gamma) * log_p


# Each gives [B, C]: what an image would cost if it were of class c.
LOSSES = {"cross_entropy": _cross_entropy, "softmax_twice": _softmax_twice, "focal": _focal}


class OfTargets(NamedTuple):
    """A loss of a user's own, beside the costs of LOSSES."""

    function: Callable  # (logits, targets [B, C]) -> [B]


def register(name: str) -> Callable[[Made], Made]:
    """Make a loss of one's own one of that name: a decorator of (logits [B, C], targets [B, C]) -> [B], in nats or not.

    Targets are shares of each class, float32: one-hot, smoothed or mixed. The training takes the mean over the batch.

    Raises:
        ConfigError: the name is one of ours.
    """

    return plugins.registering("loss", LOSSES, name, OfTargets)


def make_loss(name, *, label_smoothing=False, class_weights=(), gamma=2.0):
    """Make the training loss: a mean over the batch, in nats.

    Label smoothing and class weights are torch.nn.CrossEntropyLoss's: a target is
    (1 - smoothing) * target + smoothing / C, class c counts class_weights[c], and the mean is
    divided by the sum of the labels' weights; with soft targets by the number of images, as there.

    Args:
        name: of LOSSES.
        label_smoothing: whether there is any; its value comes with each call and may be a tracer.
        class_weights: C positive numbers, or () for none.
        gamma: of focal.
    Returns:
        (logits [B, C], labels int [B] or soft targets float [B, C], smoothing float []) -> float [].
    Raises:
        ValueError: unknown name.
    """
    if not (entry := plugins.find("loss", LOSSES, name)):
        raise ValueError(f"unknown loss {name!r}")

    def loss(logits, labels, smoothing=0.0):
        logits = _at_least_float32(logits)
        classes, count = logits.shape[-1], logits.shape[0]
        hard = jnp.issubdtype(labels.dtype, jnp.integer)
        targets = jax.nn.one_hot(labels, classes, dtype=logits.dtype) if hard else labels
        weights = jnp.asarray(class_weights, logits.dtype) if class_weights else None
        if class_weights and hard:
            count = jnp.sum(targets * weights)
        smoothed = (1 - smoothing) * targets + smoothing / classes if label_smoothing else targets
        if isinstance(entry, OfTargets):
            with users_code(f"loss {name!r}"):
                each = jnp.asarray(entry.function(logits, smoothed))
            if each.shape != labels.shape[:1]:
                wanted = list(labels.shape[:1])
                raise ConfigError(
                    f"loss {name!r} gives {list(each.shape)}, not a cost an image, {wanted}"
                )
            return jnp.sum(each * (targets @ weights) if class_weights else each) / count
        costs = entry(logits, gamma)
        return jnp.sum(smoothed * (weights * costs if class_weights else costs)) / count

    return loss
