"""Losses: pure functions of logits and labels."""

import jax.numpy as jnp
import optax


def cross_entropy(logits, labels):
    """Cross entropy of each image, in nats.

    Args:
        logits: [B, num_classes], computed in float32 (float64 stays).
        labels: int [B].
    Returns:
        [B].
    """
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)
