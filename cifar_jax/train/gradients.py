"""The gradient of a batch's loss: at once, or part by part where the whole would not fit in memory."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Gradients(NamedTuple):
    """A batch's loss and gradient, and what came with them."""

    loss: Any  # float32 [], the mean over the batch
    logits: Any  # [B, num_classes]
    batch_stats: Any  # the running statistics after the batch
    params: Any  # the loss's gradient


def at_once(loss_of):
    """Make (params, batch_stats, images, targets, key) -> Gradients.

    Args:
        loss_of: (params, batch_stats, images [B, ...], targets [B, ...], key) -> (loss, (logits, batch_stats)).
    """

    def gradients(params, *batch):
        (loss, (logits, batch_stats)), gradient = jax.value_and_grad(loss_of, has_aux=True)(
            params, *batch
        )
        return Gradients(loss, logits, batch_stats, gradient)

    return gradients


def in_parts(function, parts):
    """Make a function as of `at_once` that takes the batch in equal parts, one by one, and means over them.

    The loss is a mean over images, so the gradient is that of the batch as a whole, but for batch norm, which
    normalises each part by its own statistics, and for dropout, which draws for each part.

    Args:
        function: of `at_once`.
        parts: how many; B is a multiple of them.
    """

    def split(array):
        # A part takes images at a distance of `parts`, not a block of neighbours: each device of a sharded batch
        # then has its share of every part.
        whole = array.reshape(array.shape[0] // parts, parts, *array.shape[1:])
        return jnp.moveaxis(whole, 1, 0)

    def join(array):
        return jnp.moveaxis(array, 0, 1).reshape(-1, *array.shape[2:])

    def accumulated(params, batch_stats, images, targets, key):
        def part(carry, given):
            batch_stats, gradient = carry
            images, targets, number = given
            part_key = jax.random.fold_in(key, number)
            one = function(params, batch_stats, images, targets, part_key)
            gradient = jax.tree.map(lambda total, new: total + new / parts, gradient, one.params)
            return (one.batch_stats, gradient), (one.loss, one.logits)

        nothing = batch_stats, jax.tree.map(jnp.zeros_like, params)
        given = split(images), split(targets), jnp.arange(parts)
        (batch_stats, gradient), (losses, logits) = jax.lax.scan(part, nothing, given)
        return Gradients(jnp.mean(losses), join(logits), batch_stats, gradient)

    return accumulated
