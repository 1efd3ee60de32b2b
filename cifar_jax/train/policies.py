"""Policies of augmentation by name: which operations an image gets, and how strong, by chance."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cifar_jax import plugins
from cifar_jax.errors import ConfigError, users_code
from cifar_jax.plugins import Made
from cifar_jax.train import image_operations

BINS = 31  # a magnitude is a number from 0 to 30


class Policy(NamedTuple):
    """One policy. Its functions are pure, and jit-, vmap- and scan-safe; `augmentation` is an augment.Augmentation."""

    draw: Callable  # (key, batch, (H, W, C), augmentation) -> what chance decides: a pytree of arrays [B, ...]
    apply: Callable  # (images uint8 [B, H, W, C], drawn, augmentation) -> images alike
    takes_magnitude: bool = False  # augment.operations and augment.magnitude


def space(shear, translate, rotate, enhance, bits):
    """Return the magnitudes of each operation, [31] or one, and whether a coin decides on their sign.

    Args:
        shear, rotate, enhance: the greatest magnitudes.
        translate: those of x and y. Of the 32 pixels of TrivialAugment torchvision's float32 makes 15 in the middle.
        bits: how many posterize takes away at most.
    """
    bins = np.arange(BINS)
    greatest = {"shear_x": shear, "shear_y": shear}
    greatest |= {"translate_x": translate[0], "translate_y": translate[1], "rotate": rotate}
    greatest |= dict.fromkeys(image_operations.DEGENERATES, enhance)
    return {
        "identity": (0.0, False),
        **{name: (np.linspace(0, last, BINS), True) for name, last in greatest.items()},
        "posterize": (8 - np.round(bins / ((BINS - 1) / bits)), False),
        "solarize": (255 - 8.5 * bins, False),
        "auto_contrast": (0.0, False),
        "equalize": (0.0, False),
    }


def randaugment_settings(augmentation, height, width):
    """List RandAugment's settings, each as likely: every operation with augmentation.magnitude and either sign.

    Cubuk et al., RandAugment: Practical Automated Data Augmentation with a Reduced Search Space, 2019,
    https://arxiv.org/abs/1909.13719, with the operations and ranges of torchvision's RandAugment.
    """
    share = 150 / 331
    operations = space(0.3, (share * width, share * height), 30.0, 0.9, bits=4)
    return _settings(operations, slice(augmentation.magnitude, augmentation.magnitude + 1))


def trivialaugment_settings(augmentation, height, width):
    """List TrivialAugment's settings, each as likely: every operation with every magnitude and either sign.

    Mueller and Hutter, TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation, 2021,
    https://arxiv.org/abs/2103.10158, with the operations and ranges of torchvision's TrivialAugmentWide.
    """
    return _settings(space(0.99, (32.0, 32.0), 135.0, 0.99, bits=6), slice(None))


def _settings(operations, bins):
    """List (name, magnitude) of these bins, twice for the coin: as many of each operation, whatever has a magnitude."""
    settings = []
    for name, (magnitudes, signed) in operations.items():
        for magnitude in np.broadcast_to(magnitudes, BINS)[bins].tolist():
            settings += [(name, magnitude), (name, -magnitude if signed else magnitude)]
    return settings


def one_after_the_other(settings_of, count_of, **options):
    """Make the Policy that gives each image settings of a list, each as likely, drawn with replacement.

    Args:
        settings_of: (augmentation, height, width) -> settings of image_operations.apply.
        count_of: augmentation -> how many an image gets.
        options: of Policy.
    """

    def draw(key, batch, image_shape, augmentation):
        count = len(settings_of(augmentation, *image_shape[:2]))
        return jax.random.randint(key, (batch, count_of(augmentation)), 0, count)

    def apply(images, drawn, augmentation):
        settings = settings_of(augmentation, *images.shape[1:3])
        return image_operations.apply(images, drawn, settings)

    return Policy(draw, apply, **options)


def register(name: str) -> Callable[[Made], Made]:
    """Make an augmentation of one's own a policy of that name: a decorator of (key, image) -> image.

    An image is uint8 [H, W, 3]; the function is written with jax.numpy, and mapped over the batch.

    Raises:
        ConfigError: the name is one of ours.
    """

    entry_of = functools.partial(of_each_image, name)
    return plugins.registering("augmentation", POLICIES, name, entry_of)


def of_each_image(name, function):
    """Make the Policy of a function of one image, which gets a key of its own."""

    def draw(key, batch, image_shape, augmentation):
        keys = jax.random.split(key, batch)
        # Of uint32, which is shared out over devices as other draws are.
        return (
            jax.random.key_data(keys) if jnp.issubdtype(keys.dtype, jax.dtypes.prng_key) else keys
        )

    def of_one(key, image):
        with users_code(f"augmentation {name!r}"):
            result = jnp.asarray(function(jax.random.wrap_key_data(key), image))
        if result.shape != image.shape or result.dtype != jnp.uint8:
            shapes = (f"{each.dtype.name} {list(each.shape)}" for each in (image, result))
            raise ConfigError(
                "augmentation {!r} makes of {} {}, not the same".format(name, *shapes)
            )
        return result

    return Policy(draw, lambda images, drawn, augmentation: jax.vmap(of_one)(drawn, images))


POLICIES = {
    "none": None,
    "randaugment": one_after_the_other(
        randaugment_settings, lambda augmentation: augmentation.operations, takes_magnitude=True
    ),
    "trivialaugment": one_after_the_other(trivialaugment_settings, lambda augmentation: 1),
}
