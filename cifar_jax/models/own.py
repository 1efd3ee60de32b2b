"""Models of a user's own: any Flax module, as the registry's are used."""

import dataclasses
import inspect

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from cifar_jax.errors import ConfigError, users_code
from cifar_jax.models.layers import storage_dtype
from cifar_jax.models.ops import choice

# What others call `train`, or its opposite.
MODES = (
    "training",
    "is_training",
    "deterministic",
    "use_running_average",
    "inference",
    "eval",
    "testing",
    "mode",
)


def arguments(make):
    """Return {name: inspect.Parameter} of what a module's class, or a function that makes a module, takes.

    Raises:
        ConfigError: not the number of classes.
    """
    try:
        taken = inspect.signature(make).parameters
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{named(make)} is neither a Flax module's class nor a function that makes one"
        ) from error
    if "num_classes" not in taken:
        raise ConfigError(
            f"{named(make)} takes no num_classes, the width of its last layer, which the data set decides"
        )
    return taken


def named(make):
    return getattr(make, "__name__", None) or type(make).__name__


def builder(name, make):
    """Return (num_classes, dtype, ...) -> Flax module, called with images and `train`, of a class or function."""
    taken = arguments(make)

    def build(dtype, **options):
        if "dtype" in taken:
            options["dtype"] = dtype
        elif jnp.dtype(dtype).itemsize < 4:
            raise ConfigError(
                f"model {name!r} takes no dtype, so it computes in float32: leave out dtype={jnp.dtype(dtype).name}"
            )
        module = make(**options)
        if not isinstance(module, nn.Module):
            raise ConfigError(
                f"model {name!r}: {named(make)} gives {type(module).__name__}, no Flax module"
            )
        return adapted(module)

    return build


def adapted(module):
    """Return a Flax module as one whose `__call__` takes `train`, with our convolutions, and logits of float32.

    Flax's Conv would be 50 times slower in a training on a CPU (see ops.plain.plain_conv), and its BatchNorm
    would take a device's statistics where those of all are wanted.
    """
    kind = type(module)
    taken = inspect.signature(kind.__call__).parameters
    takes_train = "train" in taken
    if strange := [each for each in taken if each in MODES]:
        raise ConfigError(
            f"{kind.__name__}.__call__ takes {strange[0]}, which nobody sets here: call it train, true in a training"
        )

    def __call__(self, images, train=False):
        with nn.intercept_methods(_as_ours):
            logits = super(made, self).__call__(images, **({"train": train} if takes_train else {}))
        return logits.astype(storage_dtype(logits.dtype))

    body = {"__call__": __call__, "__module__": kind.__module__, "__doc__": kind.__doc__}
    made = type(kind.__name__, (kind,), body)
    fields = [each.name for each in dataclasses.fields(module) if each.init]
    return made(
        **{each: getattr(module, each) for each in fields if each not in ("parent", "name")}
    )


def _as_ours(method, given, keywords, context):
    """Let Flax's own layers convolve and take statistics as ours do."""
    layer = context.module
    if context.method_name == "__call__":
        # Of this call's copy of the module, which is made anew for each.
        if isinstance(layer, nn.Conv) and layer.conv_general_dilated is None:
            object.__setattr__(layer, "conv_general_dilated", convolve)
        elif isinstance(layer, nn.BatchNorm) and layer.axis_name is None:
            object.__setattr__(layer, "axis_name", choice.statistics_axis())
    return method(*given, **keywords)


def convolve(x, kernel, strides, padding, **options):
    """Convolve as jax.lax.conv_general_dilated, in our formulations where it is a plain one of images."""
    dilated = any(each != 1 for name in ("lhs_dilation", "rhs_dilation") for each in options[name])
    if x.ndim != 4 or len(set(strides)) > 1 or dilated or options["precision"] is not None:
        return lax.conv_general_dilated(x, kernel, strides, padding, **options)
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(x.shape[1:3], kernel.shape[:2], strides, padding)
    margins = {margin for axis in padding for margin in axis}
    if len(margins) > 1:  # as of "SAME" with strides
        x, margins = jnp.pad(x, ((0, 0), *padding, (0, 0))), {0}
    return choice.conv(x, kernel, strides[0], *margins, options["feature_group_count"])


def check(name, model, num_classes, input_shape):
    """Trace a model of a user's own, and refuse what can't be trained.

    Raises:
        ConfigError: it raises something, keeps more than parameters and batch statistics, or its answer is no
            [B, num_classes].
    """
    images = jax.ShapeDtypeStruct((2, *input_shape), jnp.float32)

    def both(key, images):
        logits, variables = model.init_with_output(key, images, train=False)
        mutable, rngs = ["batch_stats"], {"dropout": key}
        trained = model.apply(variables, images, train=True, rngs=rngs, mutable=mutable)
        return logits, variables, trained

    with users_code(f"model {name!r}"):
        logits, variables, (trained, _) = jax.eval_shape(both, jax.random.key(0), images)
    if not variables.get("params"):
        raise ConfigError(f"model {name!r} has no parameters")
    if more := set(variables) - {"params", "batch_stats"}:
        raise ConfigError(
            f"model {name!r} has variables {', '.join(sorted(more))}: a training keeps params and batch_stats"
        )
    for each in (logits, trained):
        if each.shape == (2, num_classes):
            continue
        shape = " x ".join(map(str, each.shape))
        raise ConfigError(
            f"model {name!r} answers two images with {shape} numbers, not 2 x {num_classes}"
        )
