"""The training and evaluation steps: pure functions of a state and the data on the device.

One `train_step` serves every platform, one device, a mesh and the runs of a sweep.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct

from cifar_jax.metrics import EvalMetrics, TrainMetrics
from cifar_jax.models.inference import Inference
from cifar_jax.models.ops import choice
from cifar_jax.train import augment, ema, gradients, losses, mixing, programs
from cifar_jax.train import spread as spread_lib
from cifar_jax.train.fine_tuning import FineTuning
from cifar_jax.train.hyper import Hyperparameters
from cifar_jax.train.resizing import Resizing
from cifar_jax.train.state import FLIP, MIX, ORDER, STEP


@struct.dataclass
class Data:
    """A split on the devices, one row an image: a TPU would lay out [N, H, W, C] anew at every call."""

    rows: jax.Array  # uint8 [N or more, H W C]; what is more fills up the last device's share
    labels: jax.Array  # int32 [N]
    shape: tuple = struct.field(pytree_node=False)  # (H, W, C)

    def images(self, numbers):
        """Return the images of such numbers, int [B] or a slice: uint8 [B, H, W, C]."""
        return self.rows[numbers].reshape(-1, *self.shape)


def make_data(images, labels):
    """Make Data of uint8 [N, H, W, C] and int32 [N], where they are."""
    return Data(images.reshape(len(images), -1), labels, images.shape[1:])


def epoch_order(key, epoch, count):
    """Draw the order in which an epoch visits the images: a permutation, int32 [count].

    Args:
        key: TrainState.key.
        epoch: int [], from 0.
        count: number of training images.
    """
    key = jax.random.fold_in(jax.random.fold_in(key, ORDER), epoch)
    return jax.random.permutation(key, count)


def alternating_mask(key, indices, epoch):
    """Return augment.alternating_mask of a run; `key` is TrainState.key."""
    return augment.alternating_mask(jax.random.fold_in(key, FLIP), indices, epoch)


class Plan(NamedTuple):
    """All of a step that is known before its images are: which they are, and what chance decides of them."""

    indices: (
        jax.Array
    )  # int32 [B], the images' numbers in the training set; under pmap this device's share
    drawn: dict  # [B, ...], of augment.draw
    dropout_key: jax.Array


def plan(recipe, state, data, order, ahead=0):
    """Make the Plan of the step that is `ahead` steps after a TrainState's own, int []; order as of `train_step`."""
    step, size = state.step + ahead, recipe.batch_size
    steps_per_epoch = order.shape[0] // size
    start = (step % steps_per_epoch) * size
    indices = recipe.spread.local_shard(jax.lax.dynamic_slice_in_dim(order, start, size))
    return plan_of_batch(recipe, state.key, step, step // steps_per_epoch, indices, data.shape)


def plan_of_batch(recipe, key, step, epoch, indices, image_shape):
    """Make the Plan of a batch that is chosen.

    Args:
        key: TrainState.key.
        step, epoch: int32 [], from 0.
        indices: of Plan.
        image_shape: (H, W, C).
    """
    augmentation = recipe.augmentation
    step_key = jax.random.fold_in(jax.random.fold_in(key, STEP), step)
    augment_key, dropout_key = jax.random.split(step_key)
    drawn = augment.draw(augment_key, recipe.batch_size, image_shape, augmentation)
    drawn = jax.tree.map(recipe.spread.local_shard, drawn)
    if augmentation.alternates:
        drawn["mirrored"] = alternating_mask(key, indices, epoch)
    return Plan(indices, drawn, dropout_key)


def train_step(recipe, state, metrics, data, order, planned=None):
    """Do one step of stochastic gradient descent.

    The loss that is counted is the training loss, with all that belongs to it (smoothing, weights,
    mixed labels). Accuracy is that of the label; of mixed labels the one with the greater share.

    Args:
        recipe: Recipe.
        state: TrainState.
        metrics: TrainMetrics so far.
        data: Data, the whole training split.
        order: int32 [N], this epoch's permutation.
        planned: Plan of this step, where it was made before.
    Returns:
        (TrainState, TrainMetrics) after the step.
    """
    if planned is None:
        planned = plan(recipe, state, data, order)
    indices = planned.indices
    return train_on_batch(
        recipe, state, metrics, data.images(indices), data.labels[indices], planned
    )


def train_on_batch(recipe, state, metrics, images, labels, planned):
    """Do `train_step` of a batch that is chosen: augment it, take its gradient, update the state.

    Args:
        images: uint8 [B, H, W, C]; under pmap this device's share of them, the next likewise.
        labels: int32 [B].
        planned: Plan.
    Returns:
        (TrainState, TrainMetrics).
    """
    spread = recipe.spread
    images = augment.apply_augmentation(images, planned.drawn, recipe.augmentation)
    images, targets = recipe.normalize(images), labels
    if recipe.mix:
        mix_key = jax.random.fold_in(jax.random.fold_in(state.key, MIX), state.step)
        images, targets = mixing.mix(mix_key, images, labels, recipe.num_classes, recipe.mix)
        labels = jnp.argmax(targets, axis=-1)

    model = recipe.model
    if recipe.dropout_from_hyper:
        model = model.clone(dropout=state.hyper.dropout)

    def loss_of(params, batch_stats, images, targets, key):
        with recipe.fine_tuning.apply(), spread.tracing():
            logits, updated = model.apply(
                {"params": recipe.fine_tuning.hold(params), "batch_stats": batch_stats},
                images,
                train=True,
                rngs={"dropout": key},
                mutable=["batch_stats"],
            )
        loss = recipe.loss(logits, targets, state.hyper.label_smoothing)
        return loss, (logits, updated.get("batch_stats", {}))

    gradients_of = gradients.at_once(loss_of)
    if recipe.accumulate_steps > 1:
        gradients_of = gradients.in_parts(gradients_of, recipe.accumulate_steps)
    gradients_of = spread.gradients(gradients_of)

    def gradients_by(images, params, batch_stats, targets, key):
        return gradients_of(params, batch_stats, images, targets, key)

    variables = state.params, state.batch_stats
    gradient = recipe.resizing.apply(
        gradients_by, state.step, images, *variables, targets, planned.dropout_key
    )
    optimizer = recipe.optimizer(state.hyper)
    direction, opt_state = optimizer.update(gradient.params, state.opt_state, state.params)
    learning_rate = state.hyper.learning_rate * recipe.schedule(state.step) * state.plateau.scale
    projected = recipe.project(state.params) if recipe.project else state.params
    params = recipe.fine_tuning.update(state.params, projected, direction, learning_rate)
    metrics = metrics.merge(
        TrainMetrics.single_from_model_output(
            loss=gradient.loss,
            logits=spread.all_gather(gradient.logits),
            labels=spread.all_gather(labels),
            learning_rate=learning_rate,
            step=state.step,
        )
    )
    step, averaged = state.step + 1, state.averaged
    if recipe.ema_decay:
        trained = {"params": params, "batch_stats": gradient.batch_stats}
        averaged = ema.update(averaged, trained, step, recipe.ema_decay)
    state = state.replace(
        step=step,
        params=params,
        batch_stats=gradient.batch_stats,
        averaged=averaged,
        opt_state=opt_state,
    )
    return state, metrics


def eval_step(recipe, variables, metrics, data, batch):
    """Evaluate batch number `batch` of a split; the last one is padded and masked.

    The loss is plain cross entropy, whatever was trained with, so that runs can be compared.

    Args:
        recipe: Recipe.
        variables: of the model.
        metrics: EvalMetrics so far.
        data: Data.
        batch: int [], from 0.
    Returns:
        EvalMetrics.
    """
    count = data.labels.shape[0]
    positions = batch * recipe.eval_batch_size + jnp.arange(recipe.eval_batch_size)
    positions = recipe.spread.constrain(positions)
    mask, indices = positions < count, jnp.minimum(positions, count - 1)
    return eval_on_batch(
        recipe, variables, metrics, data.images(indices), data.labels[indices], mask
    )


def eval_on_batch(recipe, variables, metrics, images, labels, mask):
    """Do `eval_step` of a batch that is chosen: uint8 [B, H, W, C], int32 [B], and bool [B], which images count."""
    logits = recipe.logits(variables, recipe.normalize(images))
    return metrics.add(losses.cross_entropy(logits, labels), logits, labels, mask)


def all_finite(tree):
    """Return whether no leaf has a NaN or an infinite value, which times 0 is NaN: bool []."""
    return jnp.isfinite(sum(jnp.sum(0 * leaf) for leaf in jax.tree.leaves(tree)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe(Inference):
    """All that a step needs beside arrays; constant while a program is compiled.

    Numbers that a sweep maps over are no part of it: they stand in TrainState.hyper.
    """

    optimizer: Callable[[Hyperparameters], optax.GradientTransformation]
    schedule: Callable[[jax.Array], jax.Array]  # step -> factor of the learning rate
    loss: Callable  # of losses.make_loss
    augmentation: augment.Augmentation
    batch_size: int
    eval_batch_size: int
    mix: mixing.Mixing = mixing.Mixing()
    project: Callable | None = None  # of optimizers.projection
    ema_decay: float = 0.0  # 0 = no averages
    fine_tuning: FineTuning = FineTuning()
    resizing: Resizing = Resizing()
    dropout_from_hyper: bool = False  # else the model's own attribute, a constant of the program
    accumulate_steps: int = 1  # parts of a batch, one after the other
    spread: spread_lib.Spread = spread_lib.Spread()

    # The steps as methods: programs.make_programs asks these of a recipe, or of a sweep's StackedSteps.
    epoch_order = staticmethod(epoch_order)
    no_metrics = staticmethod(TrainMetrics.empty)
    plan = plan
    train_step = train_step
    eval_step = eval_step

    def no_eval_metrics(self):
        return EvalMetrics.empty(self.num_classes)


def make_programs(recipe, sharding=None):
    """Make the programs of one run; for the arguments see programs.make_programs."""
    spread, jit_step = recipe.spread, None
    if spread.devices > 1 and spread.backend == "pmap":
        jit_step = functools.partial(spread_lib.pmap, spread.mesh)
    return programs.make_programs(recipe, sharding, jit_step=jit_step, packed=choice.on_gpu())
