"""What the models are compared with PyTorch on: inputs and weights from a NumPy seed, and what is looked at.

`test_golden` (no torch) and `test_models_parity` (torch) use the same cases, so the golden values that
`record_golden.py` took from the one are those of the other.
"""

import functools
import math
import zlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from quick_jit import quick_jit, quick_jit_float64

from cifar_jax import models
from cifar_jax.models import registry
from cifar_jax.train import optimizers as optim
from cifar_jax.train.hyper import Hyperparameters

# Narrower than registered, or its hundred million weights of one layer would be most of what is computed, and take
# more memory than a laptop has. The registry's tests take it whole.
NARROWED = {"vgg16": {"hidden": 64}}

# Beyond the reports, the others average over whatever is left of the image.
FOR_32 = ["vgg16_bn", "resnet9", "airbench_net"]


class Case(NamedTuple):
    """A registered model and the options it is built with."""

    name: str
    options: tuple = ()  # of (name, value)

    @property
    def id(self):
        return "-".join([self.name, *(str(value) for _, value in self.options)])


CASES = [Case(name) for name in models.names()] + [Case("plain_cnn", (("activation", "relu"),))]

REPORT_MODELS = models.names()[: models.names().index("big_net_improved") + 1]

# Of what is traced or compiled for each model alike the first tier does it for these, the second for all others.
FEW = ["basic_net", "attention_net", "resnet18_dw"]

# To trace one of the deepest takes seconds, and so the first tier does it once each, in the registry's tests.
DEEPEST = [
    "densenet",
    "googlenet",
    "inception",
    "mobilenet",
    "resnet34",
    "resnet50",
    "resnext",
    "wide_resnet",
]
SHALLOW = [name for name in models.names() if not name.startswith(tuple(DEEPEST))]

# Of these the golden values in float64 are looked at, and no gradients: each has another's blocks, in another number or
# behind another stem, and what autodiff makes of them is looked at there.
VALUES_ONLY = [
    "densenet121_imagenet",
    "googlenet_imagenet",
    "mobilenet_v2_imagenet",
    "resnet34",
]

OPTIMIZERS = {  # name -> learning rate and options, for torch and for us
    "sgd": (0.01, {"momentum": 0.9, "weight_decay": 5e-4}),
    "adam": (0.001, {}),
    "rmsprop": (0.001, {}),
    "adagrad": (0.01, {}),
}

# How far parameters may be apart after their steps, relative to their change or the learning rate, in float64. The
# adaptive ones divide a gradient by itself and an epsilon, adagrad's the smallest, and so make a large relative error
# of a gradient that is mostly rounding.
AFTER_STEPS = {"sgd": 1e-9, "adam": 1e-6, "rmsprop": 1e-6, "adagrad": 1e-5}

# Two images, because an activation that rounds to the other side of a ReLU's kink moves a gradient by
# 1e-2; among the tens of millions of a larger batch in float32 some always do, in PyTorch as here.
# Batch norm of vectors needs more: it sends the two of any pair to -1 and 1, and their gradients to 0.
BATCH = {"modified_net_separable": 8, "selective_kernel_net": 8, "big_net_improved": 8}

AUXILIARY_WEIGHT = 0.4


class Outputs(NamedTuple):
    """What two implementations of a model are compared by, as arrays and trees of arrays."""

    evaluation: Any  # logits [B, C]
    logits: Any  # in training [B, C]
    loss: Any
    batch_stats: Any  # after the training pass
    gradients: Any


def optimizers(case):
    """Those that a case is also trained with: what an optimizer makes of a gradient is the same for all models."""
    if case.name not in REPORT_MODELS:
        return ()
    return OPTIMIZERS if registry.lookup(case.name).num_params < 1e6 else ("sgd",)


def inputs(case):
    """images [B, H, W, 3], labels [B]; small where the model lets them be."""
    size = registry.lookup(case.name).input_shape[0]
    if size == 224:
        size = 32 if case.name == "vgg16" else 64
    elif size == 32 and case.name not in (*REPORT_MODELS, *FOR_32):
        size = 16
    batch = BATCH.get(case.name, 2)
    rng = np.random.default_rng(0)
    # Each image of another brightness: without, a layer that sees only means sees only rounding.
    images = rng.normal(size=(batch, size, size, 3)) + rng.normal(size=(batch, 1, 1, 3))
    return images, rng.integers(0, 10, size=batch)


def variables(case):
    """{"params", "batch_stats"} in float64; see `draw`."""
    return draw(shapes(case))


def draw(tree):
    """Variables of these shapes, in float64: batch norms away from their initial values, where mistakes hide.

    Each leaf has a generator of its own, seeded by its path.
    """

    def draw_leaf(path, leaf):
        keys = [key.key for key in path]
        rng = np.random.default_rng(zlib.crc32("/".join(keys).encode()))
        if keys[-1] == "kernel":
            bound = math.sqrt(6 / math.prod(leaf.shape[:-1]))  # Keeps the signal through ReLUs.
            return rng.uniform(-bound, bound, leaf.shape)
        low, high = (0.5, 1.5) if keys[-1] in ("scale", "var") else (-0.5, 0.5)
        return rng.uniform(low, high, leaf.shape)

    return jax.tree_util.tree_map_with_path(draw_leaf, tree)


@functools.cache
def shapes(case):
    """The variables as jax.ShapeDtypeStruct."""
    images = jax.ShapeDtypeStruct((1, *registry.lookup(case.name).input_shape), jnp.float32)
    return jax.eval_shape(create(case, jnp.float32).init, jax.random.key(0), images)


def create(case, dtype):
    """The model without dropout."""
    rate = None if registry.lookup(case.name).dropout is None else 0.0
    model = models.create(case.name, dtype=jnp.dtype(dtype), dropout=rate, **dict(case.options))
    return model.clone(**NARROWED.get(case.name, {}))


def ready(name, dtype="float32"):
    """(model without dropout, variables, images) of a registered model."""
    case = Case(name)
    arrays = (variables(case), inputs(case)[0])
    return create(case, dtype), *jax.tree.map(lambda leaf: leaf.astype(dtype), arrays)


def jit_of(name, dtype="float32"):
    """jax.jit where optimised machine code repays the time that it takes to make, else a quick one."""
    if name == "inception_v3":
        return jax.jit
    return quick_jit_float64 if dtype == "float64" else quick_jit


def program(case, dtype, jit=None, differentiated=True):
    """A compiled (params, batch_stats) -> Outputs, whose gradients are None where it is not differentiated."""
    model = create(case, dtype)
    images, labels = inputs(case)
    images = jnp.asarray(images, dtype)

    def loss(params, batch_stats):
        logits, updates = model.apply(
            {"params": params, "batch_stats": batch_stats},
            images,
            train=True,
            mutable=["batch_stats", "auxiliary"],
        )
        heads = [(logits, 1.0)]
        heads += [(aux, AUXILIARY_WEIGHT) for aux in jax.tree.leaves(updates.get("auxiliary", ()))]
        losses = (-w * jax.nn.log_softmax(y)[np.arange(len(labels)), labels] for y, w in heads)
        return sum(map(jnp.mean, losses)), (logits, updates.get("batch_stats", {}))

    @(jit or jit_of(case.name, dtype))
    def run(params, batch_stats):
        evaluation = model.apply({"params": params, "batch_stats": batch_stats}, images)
        if differentiated:
            outcome = jax.value_and_grad(loss, has_aux=True)(params, batch_stats)
        else:
            outcome = loss(params, batch_stats), None
        (value, (logits, moved)), gradients = outcome
        return Outputs(evaluation, logits, value, moved, gradients)

    return run


def changes(case, run, variables, gradients):
    """How three steps of each of its optimizers change the parameters: optimizer -> a tree like `params`.

    `gradients` are those at the start, which all optimizers share; and so they do the programs of their steps.
    """
    start, batch_stats = variables["params"], variables.get("batch_stats", {})
    rates = {name: OPTIMIZERS[name][0] for name in optimizers(case)}
    transformations = {name: transformation(name) for name in rates}

    @quick_jit_float64
    def init(params):
        return {name: each.init(params) for name, each in transformations.items()}

    @quick_jit_float64
    def step(gradients, states, params):
        moved, kept = {}, {}
        for name, each in transformations.items():
            direction, kept[name] = each.update(gradients[name], states[name], params[name])
            moved[name] = jax.tree.map(
                lambda p, d, r=rates[name]: p - r * d, params[name], direction
            )
        return moved, kept

    params, states = step(dict.fromkeys(rates, gradients), init(start), dict.fromkeys(rates, start))
    for _ in range(2):
        gradients = {name: run(each, batch_stats).gradients for name, each in params.items()}
        params, states = step(gradients, states, params)
    params, start = jax.device_get((params, start))
    return {name: jax.tree.map(np.subtract, each, start) for name, each in params.items()}


def transformation(optimizer):
    """An optimizer with its options of OPTIMIZERS."""
    rate, options = OPTIMIZERS[optimizer]
    values = {"momentum": 0.0, "weight_decay": 0.0} | options
    on = {name: value > 0 for name, value in options.items()}
    # Not of make_hyper, which rounds to float32.
    hyper = Hyperparameters(rate, **values, label_smoothing=0.0, dropout=0.0)
    return optim.make_optimizer(optimizer, **on)(hyper)
