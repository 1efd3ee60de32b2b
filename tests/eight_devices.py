"""Trains a small net on eight virtual devices in every way that config.parallel knows: python eight_devices.py FOLDER

Writes FOLDER/NAME.npz for each of CASES: the leaves of the last state, and the metrics. In float64, where rounding
stays far below what another computation would change.
"""

import dataclasses
import os
import pathlib
import sys

# Eight devices; and quick to compile.
os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0 "
    "--xla_cpu_use_fusion_emitters=false"
)

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from cifar_jax import gradients, losses, optim, parallel, schedules, state, steps
from cifar_jax.data import augment
from cifar_jax.hyper import make_hyper
from cifar_jax.models import layers

STEPS, BATCH, IMAGES, SIDE, DEVICES = 20, 16, 83, 8, 8
ONE = Mesh(jax.devices()[:1], (parallel.AXIS,))


class Net(nn.Module):
    """Convolution, batch norm where asked for, ReLU, mean over the pixels, classifier."""

    batch_norm: bool = True

    @nn.compact
    def __call__(self, x, train):
        x = layers.Conv(6, 3, dtype=jnp.float64, name="conv")(x)
        if self.batch_norm:
            x = layers.BatchNorm(relu=True, dtype=jnp.float64, name="bn")(x, train)
        x = layers.Conv(8, 3, stride=2, dtype=jnp.float64, name="conv2")(nn.relu(x))
        return layers.Linear(10, dtype=jnp.float64, name="fc")(nn.relu(x).mean((1, 2)))


def recipe_of(spread, **changes):
    recipe = steps.Recipe(
        model=Net(),
        optimizer=optim.make_optimizer("sgd", momentum=True, weight_decay=True),
        schedule=schedules.make_schedule("constant", schedules.Plan(STEPS)),
        loss=losses.make_loss("cross_entropy", label_smoothing=True),
        augmentation=augment.Augmentation(crop_padding=2, flip=True, cutout=3),
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        dtype=jnp.float64,
        batch_size=BATCH,
        eval_batch_size=BATCH,
        num_classes=10,
        ema_decay=0.9,
        spread=spread,
    )
    return dataclasses.replace(recipe, **changes)


def make_data(mesh, sharded=False):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (IMAGES, SIDE, SIDE, 3), dtype=np.uint8)
    labels = random.integers(0, 10, IMAGES, dtype=np.int32)
    labels = jax.device_put(labels, parallel.replicated(mesh))
    if sharded:
        padded = parallel.padded(images, mesh)
        return steps.Data(jax.device_put(padded, parallel.over_devices(mesh)), labels)
    return steps.Data(jax.device_put(images, parallel.replicated(mesh)), labels)


def start_of(recipe, mesh):
    hyper = make_hyper(0.05, momentum=0.9, weight_decay=1e-3, label_smoothing=0.1)
    start = state.create_state(
        recipe.model, recipe.optimizer, hyper, 0, (SIDE, SIDE, 3), ema=recipe.ema_decay > 0
    )
    wide = lambda x: x.astype(jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x  # noqa: E731
    return jax.device_put(jax.tree.map(wide, start), parallel.replicated(mesh))


def train(recipe, mesh, sharded=False):
    """The last state and the metrics of STEPS steps, and of an evaluation."""
    data, start = make_data(mesh, sharded), start_of(recipe, mesh)
    made = steps.make_programs(recipe, "loop", parallel.replicated(mesh))
    per_epoch, sums = IMAGES // BATCH, []
    for epoch in range(STEPS // per_epoch):
        order = made.epoch_order(start.key, epoch, IMAGES)
        start, sums = made.train_steps(start, data, order, per_epoch)
    return start, sums.compute(), made.evaluate(start.variables, data)


def loss_of(params, batch_stats, images, targets, key):
    variables = {"params": params, "batch_stats": batch_stats}
    logits, updated = Net().apply(variables, images, train=True, mutable=["batch_stats"])
    return losses.make_loss("cross_entropy")(logits, targets), (logits, updated["batch_stats"])


def a_batch(mesh):
    """Arguments of a function of gradients.py."""
    random, start = np.random.default_rng(1), start_of(recipe_of(parallel.Spread()), mesh)
    images, labels = random.normal(size=(BATCH, SIDE, SIDE, 3)), random.integers(0, 10, BATCH)
    return start.params, start.batch_stats, images, labels, start.key


def share_by_share():
    """The gradients of each device's share of a batch, by itself, and their mean."""
    params, batch_stats, images, labels, key = a_batch(ONE)
    function, share = jax.jit(gradients.at_once(loss_of)), BATCH // DEVICES
    parts = [slice(start, start + share) for start in range(0, BATCH, share)]
    found = [function(params, batch_stats, images[s], labels[s], key) for s in parts]
    mean = jax.tree.map(
        lambda *each: sum(each) / DEVICES, *[one._replace(logits=0) for one in found]
    )
    return mean._replace(logits=jnp.concatenate([one.logits for one in found]))


def per_device(mesh):
    spread = parallel.Spread(mesh, "jit", "per_device")
    return jax.jit(spread.gradients(gradients.at_once(loss_of)))(*a_batch(mesh))


def main(folder):
    jax.config.update("jax_enable_x64", True)
    one, mesh = ONE, parallel.data_mesh()
    assert mesh.size == DEVICES
    spread = parallel.Spread
    plain = Net(batch_norm=False)
    cases = {
        "one": lambda: train(recipe_of(spread(one)), one),
        "eight": lambda: train(recipe_of(spread(mesh)), mesh),
        "sharded": lambda: train(recipe_of(spread(mesh)), mesh, sharded=True),
        "pmap": lambda: train(recipe_of(spread(mesh, "pmap")), mesh),
        "per_device": lambda: train(recipe_of(spread(mesh, "jit", "per_device")), mesh),
        "per_device_pmap": lambda: train(recipe_of(spread(mesh, "pmap", "per_device")), mesh),
        "share_by_share": share_by_share,
        "shares_on_devices": lambda: per_device(mesh),
        "plain": lambda: train(recipe_of(spread(one), model=plain), one),
        "parts": lambda: train(recipe_of(spread(one), model=plain, accumulate_steps=4), one),
        "parts_of_eight": lambda: train(
            recipe_of(spread(mesh), model=plain, accumulate_steps=2), mesh
        ),
        "parts_pmap": lambda: train(
            recipe_of(spread(mesh, "pmap"), model=plain, accumulate_steps=2), mesh
        ),
    }
    for name, case in cases.items():
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(case())]
        np.savez(pathlib.Path(folder) / f"{name}.npz", *leaves)


if __name__ == "__main__":
    main(sys.argv[1])
