"""Optimizers by name, with PyTorch's semantics and defaults.

An optimizer is an Optax chain that gives the descent direction; the learning rate, which is
schedule times plateau, is applied to it by the training step. PyTorch multiplies by the rate last
as well (SGD's momentum buffer does not contain it), so the order is the same.
"""

import functools
import inspect
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from cifar_jax import plugins
from cifar_jax.config import options as config_options
from cifar_jax.errors import ConfigError, nearest
from cifar_jax.models.ops import choice
from cifar_jax.plugins import Made
from cifar_jax.train import optax_optimizers
from cifar_jax.train.stacking import OF_STACK, stacks


class Entry(NamedTuple):
    """One optimizer."""

    # -> optax.GradientTransformation, of the options that it names; of one that takes momentum, of the momentum (None:
    # off) and of whether it is Nesterov's.
    direction: Callable
    mode: str = "l2"  # of weight decay, where `weight_decay_mode="auto"`
    takes_momentum: bool = False  # optimizer.momentum; the others have moments of their own
    # batch size -> what is done to the gradient before weight decay; None: nothing.
    scale: Callable | None = None
    decayed: Callable | None = None  # params -> tree of bool, which have weight decay; None: all
    project: Callable | None = None  # see `projection`
    # `direction` is of a learning rate and options, as Optax's own optimizers are.
    takes_rate: bool = False


class AdagradState(NamedTuple):
    sum_of_squares: optax.Updates


def scale_by_adagrad(eps=1e-10):
    """Scale as torch.optim.Adagrad: the sum of squares starts at 0 and eps stands outside the root.

    optax.scale_by_rss has eps inside it.

    Duchi, Hazan and Singer, Adaptive Subgradient Methods, 2011, https://jmlr.org/papers/v12/duchi11a.html
    """

    def init(params):
        return AdagradState(jax.tree.map(jnp.zeros_like, params))

    def update(gradients, state, params=None):
        del params
        sums = jax.tree.map(lambda s, g: s + g * g, state.sum_of_squares, gradients)
        direction = jax.tree.map(lambda g, s: g / (jnp.sqrt(s) + eps), gradients, sums)
        return direction, AdagradState(sums)

    return optax.GradientTransformation(init, update)


def _trace(momentum, nesterov):
    return optax.identity() if momentum is None else optax.trace(momentum, nesterov)


def _rmsprop(momentum, nesterov, decay=0.99, eps=1e-8):
    return optax.chain(
        optax.scale_by_rms(decay=decay, eps=eps, eps_in_sqrt=False), _trace(momentum, False)
    )


def _adam(b1=0.9, b2=0.999, eps=1e-8):
    return optax.scale_by_adam(b1=b1, b2=b2, eps=eps)


def _lion(b1=0.9, b2=0.99):
    return optax.scale_by_lion(b1=b1, b2=b2)


def _adan(b1=0.98, b2=0.92, b3=0.99, eps=1e-8):
    return optax.scale_by_adan(b1=b1, b2=b2, b3=b3, eps=eps)


def _dimensions(updates):
    """Return which axes make a matrix: of dense [in, out] and convolution [H, W, in, out] the last is the output."""
    return jax.tree.map(
        lambda x: contrib.MuonDimensionNumbers(tuple(range(x.ndim - 1)), (x.ndim - 1,)), updates
    )


def _muon():
    """Make Muon for kernels, Adam for biases and scales; see `make_optimizer`."""

    def scale_by_shape(updates, params):
        return jax.tree.map(
            lambda x: x * math.sqrt(max(1, x.shape[-1] / math.prod(x.shape[:-1]))), updates
        )

    # The parts of contrib.muon, which has a learning rate and Nesterov's Adam for the rest.
    muon = optax.chain(
        contrib.scale_by_muon(weight_dimension_numbers=_dimensions), optax.stateless(scale_by_shape)
    )
    return optax.partition(
        {"muon": muon, "adam": _adam()},
        lambda params: jax.tree.map(lambda x: "muon" if x.ndim > 1 else "adam", params),
    )


# airbench's learning rates, those of "bias" and "head" for the gradient of a loss that is summed over
# the batch. The base learning rate is that of "kernel"; the others keep their proportion to it.
AIRBENCH_RATES = {"kernel": 0.24, "head": 0.67, "bias": 0.053}


def _airbench_groups(params):
    """Return which rate is whose: convolutions [H, W, in, out], dense kernels [in, out], and all vectors."""
    names = {4: "kernel", 2: "head"}
    return jax.tree.map(lambda x: names.get(x.ndim, "bias"), params)


def _airbench_scale(batch_size):
    """Scale mean gradients to the sums, in the proportion of the rates."""

    def scale(updates, params):
        def scaled(x, name):
            return x * (batch_size * AIRBENCH_RATES[name] / AIRBENCH_RATES["kernel"])

        return jax.tree.map(scaled, updates, _airbench_groups(updates))

    return optax.stateless(scale)


def _airbench():
    """Make Muon for convolutions, Nesterov's SGD for the rest; see `make_optimizer`."""

    def orthogonalize(updates, params):
        if choice.on_gpu():
            stacked, unstack = stacks(updates)
            return unstack(orthogonalized(stacked, lambda stacks: dict.fromkeys(stacks, OF_STACK)))
        return orthogonalized(updates, _dimensions)

    def orthogonalized(updates, dimensions):
        # Of contrib.scale_by_muon the iteration alone: it corrects its momentum's bias, which airbench
        # does not, so its momentum is off, and what it would keep of it is not kept.
        iteration = contrib.scale_by_muon(
            ns_steps=3, beta=0.0, eps=1e-7, nesterov=False, weight_dimension_numbers=dimensions
        )
        return iteration.update(updates, iteration.init(updates))[0]

    muon = optax.chain(_trace(0.6, nesterov=True), optax.stateless(orthogonalize))
    sgd = _trace(0.85, nesterov=True)
    return optax.partition({"kernel": muon, "head": sgd, "bias": sgd}, _airbench_groups)


def _airbench_decayed(params):
    return jax.tree.map(lambda name: name != "kernel", _airbench_groups(params))


def _airbench_project(params):
    """Scale every convolution's kernel to the norm sqrt(out)."""

    def scaled(x):
        return x * (math.sqrt(x.shape[-1]) / jnp.linalg.norm(x.ravel())) if x.ndim == 4 else x

    return jax.tree.map(scaled, params)


OPTIMIZERS = {
    "sgd": Entry(_trace, takes_momentum=True),
    "adam": Entry(_adam),
    "adamw": Entry(_adam, mode="decoupled"),
    "rmsprop": Entry(_rmsprop, takes_momentum=True),
    "adagrad": Entry(scale_by_adagrad),
    "lion": Entry(_lion, mode="decoupled"),
    "muon": Entry(_muon, mode="decoupled"),
    "adan": Entry(_adan, mode="decoupled"),
    "airbench": Entry(
        _airbench, scale=_airbench_scale, decayed=_airbench_decayed, project=_airbench_project
    ),
}


def register(name: str) -> Callable[[Made], Made]:
    """Make an optimizer of one's own one of that name: a decorator of a function as Optax's optimizers are.

    It takes `learning_rate`, and what optimizer.options may set, and returns an optax.GradientTransformation whose
    updates are the learning rate times a direction. Schedules, plateau, weight decay (decoupled) and clipping are ours.

    Raises:
        ConfigError: the name is one of ours.
    """

    return plugins.registering("optimizer", OPTIMIZERS, name, _of_rate)


def _of_rate(function):
    return Entry(function, mode="decoupled", takes_rate=True)


def make_optimizer(
    name,
    *,
    momentum=False,
    nesterov=False,
    weight_decay=False,
    weight_decay_mode="auto",
    weight_decay_for="all",
    clip_norm=0.0,
    options=None,
    batch_size=1,
):
    """Make the direction of descent, before the learning rate.

    Args:
        name: of OPTIMIZERS, each as in PyTorch unless said otherwise:
            "sgd": momentum without dampening, or Nesterov's (Sutskever et al. 2013).
            "adam": betas 0.9 and 0.999, eps 1e-8 outside the root (Kingma and Ba 2015).
            "adamw": adam with decoupled weight decay (Loshchilov and Hutter 2019).
            "rmsprop": alpha 0.99, eps 1e-8 outside the root, not centred; momentum after scaling.
            "adagrad": the sum of squares from 0, eps 1e-10 outside the root.
            "lion": Optax's; betas 0.9 and 0.99 (Chen et al. 2023).
            "muon": Optax's (Jordan et al. 2024): momentum 0.95 with Nesterov's step, five
                Newton-Schulz iterations, scaled by sqrt(max(1, fan_out / fan_in)). It takes every
                parameter of two or more axes, convolutions as [H * W * in, out]; adam takes the
                rest, at the same learning rate. torch.optim.Muon takes matrices only, iterates in
                bfloat16, and does not correct the momentum's bias, so they part after one step.
            "adan": Optax's; betas 0.98, 0.92 and 0.99 (Xie et al. 2022,
                https://arxiv.org/abs/2208.06677).
            "airbench": that of Jordan's airbench94_muon (2024, https://arxiv.org/abs/2404.00498).
                Convolutions: Muon with momentum 0.6 and Nesterov's step, three Newton-Schulz
                iterations, and before each step every kernel is scaled to the norm sqrt(out), which
                is `projection`'s. Dense kernels and vectors: SGD with momentum 0.85 and Nesterov's
                step, by the gradients' sum over the batch, at 0.67 / 0.24 and 0.053 / 0.24 of the
                learning rate. Weight decay (l2) is theirs alone and counts at the learning rate
                itself: learning rate * decay * params goes into the momentum.
        momentum: whether there is momentum, whose value is then hyper.momentum.
        nesterov: of sgd.
        weight_decay: whether there is weight decay, at hyper.weight_decay, for every parameter
            (but airbench's convolutions).
        weight_decay_mode: "l2" adds decay * params to the gradient first, as PyTorch's SGD, Adam, RMSprop and
            Adagrad; "decoupled" adds it to the direction, so that learning rate * decay * params is
            subtracted, as AdamW; "auto": decoupled for adamw, lion, muon, adan and Optax's, else l2.
        weight_decay_for: "all" parameters, or "kernels", those of two axes or more.
        clip_norm: greatest norm of the gradient of all parameters together; 0 for any.
        options: {name: value} of the optimizer's own numbers.
        batch_size: of airbench, for its sums; the gradients given are means.
    Returns:
        Hyperparameters -> optax.GradientTransformation; its numbers may be tracers.
    Raises:
        ValueError: unknown name or mode, or momentum for an optimizer that has its own.
        ConfigError: an option that the optimizer does not have; of Optax's, as optax_optimizers.direction.
    """
    options = options or {}
    if optax_optimizers.is_named(name):
        entry = _of_rate(optax_optimizers.named(name))
    elif not (entry := plugins.find("optimizer", OPTIMIZERS, name)):
        raise ValueError(f"unknown optimizer {name!r}")
    if entry.takes_rate:
        made = optax_optimizers.direction(name, entry.direction, options)
        entry, options = entry._replace(direction=lambda: made), {}
    _check_options(name, entry, options)
    mode = entry.mode if weight_decay_mode == "auto" else weight_decay_mode
    if mode not in ("l2", "decoupled"):
        raise ValueError(f"unknown weight_decay_mode {mode!r}")
    if momentum and not entry.takes_momentum:
        raise ValueError(f"{name} has its own momentum")

    decayed = entry.decayed
    if weight_decay_for == "kernels":
        decayed = functools.partial(_kernels_of, entry.decayed)

    def optimizer(hyper):
        momenta = (hyper.momentum if momentum else None, nesterov) if entry.takes_momentum else ()
        parts = [entry.direction(*momenta, **options)]
        if weight_decay:
            decay = optax.add_decayed_weights(hyper.weight_decay, decayed)
            parts.insert(0 if mode == "l2" else 1, decay)
        if entry.scale:
            parts.insert(0, entry.scale(batch_size))
        if clip_norm:
            parts.insert(0, optax.clip_by_global_norm(clip_norm))
        return optax.chain(*parts) if len(parts) > 1 else parts[0]

    return optimizer


def _kernels_of(decayed, params):
    """Return which of those that `decayed` names, None for all, have two axes or more."""
    own = decayed(params) if decayed else jax.tree.map(lambda x: True, params)
    return jax.tree.map(lambda x, own: own and x.ndim > 1, params, own)


def of_config(config):
    """Make the optimizer of a checked config; its numbers are those of hyper.from_config. See `make_optimizer`."""
    optimizer = config.optimizer
    return make_optimizer(
        optimizer.name,
        momentum=optimizer.momentum > 0,
        nesterov=optimizer.nesterov,
        weight_decay=optimizer.weight_decay > 0,
        weight_decay_mode=optimizer.weight_decay_mode,
        weight_decay_for=optimizer.weight_decay_for,
        clip_norm=optimizer.clip_norm,
        options=config_options.parse(optimizer.options),
        batch_size=config.batch_size,
    )


def _check_options(name, entry, options):
    """Raise ConfigError for an option that the optimizer does not have."""
    takes = list(inspect.signature(entry.direction).parameters)[2 * entry.takes_momentum :]
    for each in options:
        if each not in takes:
            has = nearest(each, takes) if takes else "it has none"
            raise ConfigError(f"optimizer {name} has no option {each!r}; {has}")


def projection(name):
    """Return what is done to the parameters just before each update: params -> params, or None for nothing.

    Args:
        name: of OPTIMIZERS, or of Optax.
    """
    return OPTIMIZERS[name].project if name in OPTIMIZERS else None
