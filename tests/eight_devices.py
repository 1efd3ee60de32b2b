"""What tests ask of eight virtual devices, in one process: python eight_devices.py FOLDER CASE...

Writes for each case of STATES, a training in float64, where rounding stays far below what another computation would
change, FOLDER/CASE.npz: the leaves of the last state, and the metrics. For each of ANSWERS FOLDER/CASE.json.
"""

import dataclasses
import functools
import io
import json
import os
import pathlib
import runpy
import sys
from unittest import mock

from command_line import QUICK, ROOT
from xla import quick_flags

# NPROC: the size of XLA's pool, in which eight devices on two cores may wait for each other for good.
os.environ |= {"JAX_NUM_CPU_DEVICES": "8", "NPROC": "32"}
os.environ["XLA_FLAGS"] = quick_flags(0)

import jax
import jax.numpy as jnp
import numpy as np
import small_net
from jax.sharding import Mesh
from rich.console import Console
from small_net import SIDE, SmallNet

from cifar_jax import main, metrics, sweep, train
from cifar_jax.machine import mesh as mesh_lib
from cifar_jax.models.ops import choice
from cifar_jax.sweep import driver, stack
from cifar_jax.train import augment, gradients, losses, optimizers, schedules, state, steps
from cifar_jax.train import spread as spread_lib
from cifar_jax.train.hyper import make_hyper
from cifar_jax.train.resizing import Resizing

STEPS, BATCH, IMAGES, DEVICES = 20, 16, 83, 8
ONE, ALL = Mesh(jax.devices()[:1], (mesh_lib.AXIS,)), mesh_lib.data_mesh()
NET = SmallNet(dtype=jnp.float64, ours=True)
PLAIN = SmallNet(batch_norm=False, dtype=jnp.float64, ours=True)


class Recipe(steps.Recipe):
    """A recipe of this process, where float64 is switched on: sums keep their types, and images have all digits.

    In float32 the last digit of a pixel is another one in another program, as XLA fuses what normalises it.
    """

    def normalize(self, images):
        mean, std = (jnp.array(each, jnp.float64) for each in (self.mean, self.std))
        return (images / jnp.float64(255) - mean) / std

    def train_step(self, state, metrics, *rest):
        state, summed = super().train_step(state, metrics, *rest)
        return state, as_before(metrics, summed)

    def eval_step(self, variables, metrics, *rest):
        return as_before(metrics, super().eval_step(variables, metrics, *rest))


def as_before(before, summed):
    return jax.tree.map(lambda old, new: new.astype(old.dtype), before, summed)


RECIPE = Recipe(
    model=NET,
    optimizer=optimizers.make_optimizer("sgd", momentum=True, weight_decay=True),
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
)


def make_data(mesh, sharded=False):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (IMAGES, SIDE, SIDE, 3), dtype=np.uint8)
    labels = random.integers(0, 10, IMAGES, dtype=np.int32)
    labels = jax.device_put(labels, mesh_lib.replicated(mesh))
    if sharded:
        host = steps.make_data(images, labels)
        padded = mesh_lib.padded(host.rows, mesh)
        return host.replace(rows=jax.device_put(padded, mesh_lib.over_devices(mesh)))
    return steps.make_data(jax.device_put(images, mesh_lib.replicated(mesh)), labels)


@functools.cache
def first_state(model):
    hyper = make_hyper(0.05, momentum=0.9, weight_decay=1e-3, label_smoothing=0.1)
    return state.create_state(model, RECIPE.optimizer, hyper, 0, (SIDE, SIDE, 3), ema=True)


def start_of(model, mesh):
    """The first state in float64; a copy, as training donates it."""

    def wide(x):
        return jnp.array(x, jnp.float64 if x.dtype == jnp.float32 else x.dtype)

    return jax.device_put(jax.tree.map(wide, first_state(model)), mesh_lib.replicated(mesh))


def trained(mesh, *spread, sharded=False, **changes):
    """The last state and the metrics of STEPS steps, and of an evaluation.

    Args:
        mesh, spread: of spread_lib.Spread.
        sharded: whether the data set is.
        changes: of RECIPE.
    """
    recipe = dataclasses.replace(RECIPE, spread=spread_lib.Spread(mesh, *spread), **changes)
    data, start = make_data(mesh, sharded), start_of(recipe.model, mesh)
    made = steps.make_programs(recipe, mesh_lib.replicated(mesh))
    per_epoch, sums = IMAGES // BATCH, []
    for epoch in range(STEPS // per_epoch):
        order = made.epoch_order(start.key, epoch, IMAGES)
        start, sums = made.train_steps(start, data, order, per_epoch)
    return start, sums.compute(), made.evaluate(start.variables, data)


def as_on_accelerators(*arguments):
    """`trained`, in the formulations of a TPU: draws are made before the loop, statistics in one pass."""
    with choice.formulations_of("tpu"):
        return trained(*arguments)


def sweep_as_on_accelerators():
    """Parameters after three steps in float32: of the fourth of eight runs spread over the devices, and of it alone."""
    plain = {"model": SmallNet(ours=True), "dtype": jnp.float32}
    recipe = steps.Recipe(**(vars(RECIPE) | plain))
    with jax.enable_x64(False), choice.formulations_of("tpu"):
        many = stack.make_programs(recipe, ALL, DEVICES)
        one = steps.make_programs(recipe, mesh_lib.replicated(ONE))
        start = first_state(recipe.model)
        keys = jnp.stack([jax.random.PRNGKey(n) for n in range(DEVICES)])
        states = jax.tree.map(lambda x: jnp.stack([x] * DEVICES), start).replace(key=keys)
        members = stack.TrialState(states, jnp.full(DEVICES, metrics.NEVER, jnp.int32))
        members = jax.device_put(members, mesh_lib.over_devices(ALL))
        orders = many.epoch_order(members.key, 0, IMAGES)
        members, _ = many.train_steps(members, make_data(ALL), orders, 3)
        fourth = jax.tree.map(jnp.copy, start).replace(key=jax.random.PRNGKey(3))
        fourth, _ = one.train_steps(fourth, make_data(ONE), np.asarray(orders)[3], 3)
    return jax.tree.map(lambda x: np.asarray(x)[3], members.state.params), fourth.params


def loss_of(params, batch_stats, images, targets, key):
    variables = {"params": params, "batch_stats": batch_stats}
    logits, updated = RECIPE.model.apply(variables, images, train=True, mutable=["batch_stats"])
    return losses.make_loss("cross_entropy")(logits, targets), (logits, updated["batch_stats"])


def a_batch(mesh):
    """Arguments of a function of gradients.py."""
    random, start = np.random.default_rng(1), start_of(RECIPE.model, mesh)
    images, labels = random.normal(size=(BATCH, SIDE, SIDE, 3)), random.integers(0, 10, BATCH)
    return start.params, start.batch_stats, images, labels, start.key


def share_by_share():
    """The gradients of each device's share of a batch, by itself, and their mean."""
    params, batch_stats, images, labels, key = a_batch(ONE)
    function, share = jax.jit(gradients.at_once(loss_of)), BATCH // DEVICES
    parts = [slice(start, start + share) for start in range(0, BATCH, share)]
    shares = [function(params, batch_stats, images[s], labels[s], key) for s in parts]
    mean = jax.tree.map(
        lambda *each: sum(each) / DEVICES, *[one._replace(logits=0) for one in shares]
    )
    return mean._replace(logits=jnp.concatenate([one.logits for one in shares]))


def shares_on_devices():
    """The same by one program."""
    spread = spread_lib.Spread(ALL, "jit", "per_device")
    return jax.jit(spread.gradients(gradients.at_once(loss_of)))(*a_batch(ALL))


SMALL_FIRST = Resizing((6, SIDE), 10)
# All that chance may do to an image.
AUGMENTED = augment.Augmentation(2, "reflect", True, "random", "randaugment", 3, 20, 10.0, 3, 0.5)
STATES = {
    "one": lambda: trained(ONE),
    "eight": lambda: trained(ALL),
    "sharded": lambda: trained(ALL, sharded=True),
    "pmap": lambda: trained(ALL, "pmap"),
    "ahead": lambda: as_on_accelerators(ALL),
    "ahead_pmap": lambda: as_on_accelerators(ALL, "pmap"),
    "ahead_sweep": sweep_as_on_accelerators,
    "per_device": lambda: trained(ALL, "jit", "per_device"),
    "per_device_pmap": lambda: trained(ALL, "pmap", "per_device"),
    "small_first": lambda: trained(ONE, resizing=SMALL_FIRST),
    "small_first_of_eight": lambda: trained(ALL, resizing=SMALL_FIRST),
    "small_first_pmap": lambda: trained(ALL, "pmap", resizing=SMALL_FIRST),
    "augmented": lambda: trained(ONE, augmentation=AUGMENTED),
    "augmented_of_eight": lambda: trained(ALL, augmentation=AUGMENTED),
    "augmented_pmap": lambda: trained(ALL, "pmap", augmentation=AUGMENTED),
    "share_by_share": share_by_share,
    "shares_on_devices": shares_on_devices,
    "plain": lambda: trained(ONE, model=PLAIN),
    "parts": lambda: trained(ONE, model=PLAIN, accumulate_steps=4),
    "parts_of_eight": lambda: trained(ALL, model=PLAIN, accumulate_steps=2),
    "parts_pmap": lambda: trained(ALL, "pmap", model=PLAIN, accumulate_steps=2),
}


def augmented_images(folder):
    """Pixels that one device and eight see otherwise, and what the eight send each other for them."""
    images = np.random.default_rng(0).integers(0, 256, (BATCH, SIDE, SIDE, 3), dtype=np.uint8)
    drawn = augment.draw(jax.random.PRNGKey(0), BATCH, images.shape[1:], AUGMENTED)
    apply = functools.partial(augment.apply_augmentation, augmentation=AUGMENTED)
    programs = []
    for mesh in (ONE, ALL):
        shares = mesh_lib.over_devices(mesh)
        programs.append(jax.jit(apply, in_shardings=shares, out_shardings=shares))
    alone, together = (np.asarray(program(images, drawn)) for program in programs)
    sent = scaling("collectives", programs[1].lower(images, drawn).compile().as_text())(folder)
    return {
        "changed": int((alone != images).sum()),
        "differ": int((alone != together).sum()),
        "sent": sent,
    }


def quick_config(name, *overrides):
    """The quickstart, of a small net."""
    arguments = ("--config", str(ROOT / "configs/quickstart.py"), "--workdir", "unused")
    model = f"--config.model.name={name}"
    return main.parse(["main", *arguments, *QUICK, model, *overrides])[0]


def a_run(name, *overrides):
    """A whole run, of the net without batch norm: the losses of its metrics."""

    def answer(folder):
        train.train_and_evaluate(
            quick_config(small_net.WITHOUT, *overrides), folder / name, Console(file=io.StringIO())
        )
        return [json.loads(line)["loss"] for line in (folder / name / "metrics.jsonl").open()]

    return answer


def a_sweep(folder):
    """Three runs and five of padding: the rows of the table."""
    cells = sweep.grid({"optimizer.learning_rate": [0.001, 0.003, 0.01]})
    given = sweep.Sweep(quick_config(small_net.NAME), cells, "lr_0.001")
    with no_figures():
        return driver.train_sweep(given, 1, folder / "sweep", console=Console(file=io.StringIO()))


def no_figures():
    """Matplotlib takes longer than all the rest."""
    nothing = dict.fromkeys(("write", "bars"), lambda *_: None)
    return mock.patch.multiple(driver.figures, **nothing)


def scaling(name, *arguments, **fields):
    """Of benchmarks/scaling.py, which imports its own."""
    sys.path.append(str(ROOT / "benchmarks"))
    path = str(ROOT / "benchmarks/scaling.py")
    return lambda folder: runpy.run_path(path)[name](*arguments, **fields)


ANSWERS = {
    "run_plain": a_run("plain"),
    "run_sharded": a_run("sharded", "--config.parallel.dataset=sharded"),
    "run_pmap": a_run("pmap", "--config.parallel.backend=pmap"),
    "sweep": a_sweep,
    "augmented_images": augmented_images,
    "communication": scaling("communication", small_net.NAME),
    "communication_per_device": scaling(
        "communication", small_net.NAME, 64, **{"parallel.batch_norm": "per_device"}
    ),
    "sweep_communication": scaling("sweep", small_net.NAME, 20, 64),
}


def run(folder, *cases):
    assert len(jax.devices()) == DEVICES
    for name in cases:
        if name in STATES:
            with jax.enable_x64(True):
                leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(STATES[name]())]
            np.savez(folder / f"{name}.npz", *leaves)
        else:
            with small_net.registered():
                (folder / f"{name}.json").write_text(json.dumps(ANSWERS[name](folder)))


if __name__ == "__main__":
    run(pathlib.Path(sys.argv[1]), *sys.argv[2:])
