"""Any optimizer of Optax by its name, "optax:NAME", as a direction of descent under our schedules."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
from optax import contrib

from cifar_jax.errors import ConfigError, nearest, one_line

PREFIX = "optax:"
FALL = (1.0, 0.5, 0.25)  # learning rates of the trial


def is_named(name):
    return name.startswith(PREFIX)


@functools.cache
def known():
    """Return name -> function of Optax and its contrib that makes an optimizer of a learning rate."""
    made = {}
    for home in (contrib, optax):
        for name, function in inspect.getmembers(home, _is_function):
            if not name.startswith("scale_by_") and "learning_rate" in _arguments(function):
                made[name] = function
    return made


def _is_function(each):
    return inspect.isfunction(each) or isinstance(each, functools.partial)


def _arguments(function):
    return list(inspect.signature(function).parameters)


def named(name):
    """Return the function of Optax that "optax:NAME" means.

    Raises:
        ConfigError: no such optimizer.
    """
    word = name.removeprefix(PREFIX)
    if word not in known():
        raise ConfigError(f"Optax has no optimizer {word!r}; {nearest(word, known())}")
    return known()[word]


def direction(name, function, options):
    """Make the direction of descent of an optimizer of Optax, or written as one; its learning rate is ours.

    Its own weight decay is off unless an option sets it.

    Args:
        name: for messages.
        function: (learning_rate, ...) -> optax.GradientTransformation.
        options: {name: value}, more arguments of it.
    Returns:
        optax.GradientTransformation.
    Raises:
        ConfigError: no such option; or an optimizer whose steps are not the learning rate times a direction, or
            that needs more than gradients, so that it can't stand under our schedules.
    """
    takes = _arguments(function)
    if strange := [each for each in options if each not in takes or each == "learning_rate"]:
        others = [each for each in takes if each != "learning_rate"]
        raise ConfigError(f"{name} has no option {strange[0]!r}; {nearest(strange[0], others)}")
    own = {"weight_decay": 0.0} if "weight_decay" in takes else {}
    make = functools.partial(function, **own | options)
    try:
        at_one = _updates(make(learning_rate=1.0))
        falling = _updates(make(learning_rate=lambda step: jnp.asarray(FALL)[step]))
    except Exception as error:  # of any kind: it is told a user's options
        raise ConfigError(f"{name} can't be used here: {one_line(error, 200)}") from error
    lengths = np.repeat(FALL, len(at_one) // len(FALL))
    pairs = zip(falling, at_one, lengths, strict=True)
    if not all(np.allclose(f, rate * one, rtol=1e-4, atol=1e-7) for f, one, rate in pairs):
        raise ConfigError(
            f"{name} uses its learning rate for more than the length of a step, so it can't stand under our schedules"
        )
    return optax.chain(make(learning_rate=1.0), optax.scale(-1.0))


def _updates(optimizer):
    """Return the leaves of a few updates of small parameters."""
    params = {"kernel": jnp.linspace(-1, 1, 12).reshape(3, 4), "bias": jnp.linspace(0.5, 1, 4)}
    state, leaves = optimizer.init(params), []
    for step in range(1, len(FALL) + 1):
        gradient = jax.tree.map(lambda leaf, step=step: jnp.sin(step * leaf + 1), params)
        updates, state = optimizer.update(gradient, state, params)
        leaves += map(np.asarray, jax.tree.leaves(updates))
    return leaves
