"""Optimizers by name, with PyTorch's semantics and defaults.

An optimizer is an Optax chain that gives the descent direction; the learning rate, which is
schedule times plateau, is applied to it by the training step. PyTorch multiplies by the rate last
as well (SGD's momentum buffer does not contain it), so the order is the same.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from optax import contrib


class Entry(NamedTuple):
    """One optimizer. `direction` is called with the momentum (None: off) and whether it is Nesterov's."""

    direction: Callable
    decay: str = "l2"  # what `decay="auto"` means
    takes_momentum: bool = False  # optimizer.momentum; the others have moments of their own


class AdagradState(NamedTuple):
    sum_of_squares: optax.Updates


def scale_by_adagrad(eps=1e-10):
    """torch.optim.Adagrad: the sum of squares starts at 0 and eps stands outside the root.

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


def _sgd(momentum, nesterov):
    return _trace(momentum, nesterov)


def _adam(momentum, nesterov):
    return optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8)


def _rmsprop(momentum, nesterov):
    return optax.chain(
        optax.scale_by_rms(decay=0.99, eps=1e-8, eps_in_sqrt=False), _trace(momentum, False)
    )


def _adagrad(momentum, nesterov):
    return scale_by_adagrad()


def _lion(momentum, nesterov):
    return optax.scale_by_lion(b1=0.9, b2=0.99)


def _muon(momentum, nesterov):
    """Muon for kernels, Adam for biases and scales; see `make_optimizer`."""

    def dimensions(updates):
        # Dense [in, out] and convolution [H, W, in, out]: the last axis is the output.
        return jax.tree.map(
            lambda x: contrib.MuonDimensionNumbers(tuple(range(x.ndim - 1)), (x.ndim - 1,)), updates
        )

    def scale_by_shape(updates, params):
        return jax.tree.map(
            lambda x: x * math.sqrt(max(1, x.shape[-1] / math.prod(x.shape[:-1]))), updates
        )

    # The parts of contrib.muon, which has a learning rate and Nesterov's Adam for the rest.
    muon = optax.chain(
        contrib.scale_by_muon(weight_dimension_numbers=dimensions), optax.stateless(scale_by_shape)
    )
    return optax.partition(
        {"muon": muon, "adam": _adam(None, False)},
        lambda params: jax.tree.map(lambda x: "muon" if x.ndim > 1 else "adam", params),
    )


OPTIMIZERS = {
    "sgd": Entry(_sgd, takes_momentum=True),
    "adam": Entry(_adam),
    "adamw": Entry(_adam, decay="decoupled"),
    "rmsprop": Entry(_rmsprop, takes_momentum=True),
    "adagrad": Entry(_adagrad),
    "lion": Entry(_lion, decay="decoupled"),
    "muon": Entry(_muon, decay="decoupled"),
}


def make_optimizer(name, *, momentum=False, nesterov=False, weight_decay=False, decay="auto"):
    """The direction of descent, before the learning rate.

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
        momentum: whether there is momentum, whose value is then hyper.momentum.
        nesterov: of sgd.
        weight_decay: whether there is weight decay, at hyper.weight_decay, for every parameter.
        decay: "l2" adds decay * params to the gradient first, as PyTorch's SGD, Adam, RMSprop and
            Adagrad; "decoupled" adds it to the direction, so that learning rate * decay * params is
            subtracted, as AdamW; "auto": decoupled for adamw, lion and muon, else l2.
    Returns:
        Hyper -> optax.GradientTransformation; its numbers may be tracers.
    Raises:
        ValueError: unknown name or decay, or momentum for an optimizer that has its own.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"unknown optimizer {name!r}")
    entry = OPTIMIZERS[name]
    decay = entry.decay if decay == "auto" else decay
    if decay not in ("l2", "decoupled"):
        raise ValueError(f"unknown decay {decay!r}")
    if momentum and not entry.takes_momentum:
        raise ValueError(f"{name} has its own momentum")

    def optimizer(hyper):
        direction = entry.direction(hyper.momentum if momentum else None, nesterov)
        if not weight_decay:
            return direction
        decayed = optax.add_decayed_weights(hyper.weight_decay)
        return optax.chain(*((decayed, direction) if decay == "l2" else (direction, decayed)))

    return optimizer
