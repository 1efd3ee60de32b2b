"""Images that are not of a run's data set, to see whether a model tells: other sets, noise, colour, patches.

The embedded ones need neither network nor disk, and are the same for the same seed.
"""

import dataclasses
import difflib

import numpy as np

from cifar_jax import data
from cifar_jax.data.images import SIZE
from cifar_jax.errors import DataError

PATCHES = 4  # along each side of an image

# What a word stands for.
GROUPS = {"noise": ("uniform_noise", "gaussian_noise")}

# Sets that are no clean opposites although no class has the same name in both.
OVERLAPS = {
    frozenset(("cifar10", "cifar100")): (
        "near: both were drawn from the same 80 million tiny images, and classes such as bus, pickup truck, "
        "wolf and leopard of one resemble truck, dog and cat of the other"
    ),
}


@dataclasses.dataclass(frozen=True)
class Outliers:
    """A set of out-of-distribution images."""

    name: str
    images: np.ndarray  # uint8 [N, S, S, 3]
    source: str  # what they are, in words
    note: str = ""  # where they overlap with the run's set


def uniform_noise(rng, count, size=SIZE):
    """Draw each value uniform in 0..255: uint8 [count, S, S, 3].

    Liang et al., ODIN, 2018, https://arxiv.org/abs/1706.02690
    """
    return rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def gaussian_noise(rng, count, size=SIZE):
    """Draw each value of pixel / 255 normal with mean 0.5 and deviation 1, clipped: uint8 [count, S, S, 3].

    Liang et al., ODIN, 2018, https://arxiv.org/abs/1706.02690
    """
    values = rng.normal(0.5, 1.0, (count, size, size, 3)).astype(np.float32)
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def constant_colour(rng, count, size=SIZE):
    """Draw each image in one colour, uniform in RGB: uint8 [count, S, S, 3]."""
    colours = rng.integers(0, 256, (count, 1, 1, 3), dtype=np.uint8)
    return np.tile(colours, (1, size, size, 1))


def shuffled_patches(rng, images, patches=PATCHES):
    """Cut each image into squares and put them together in a random order that is not its own.

    Args:
        rng: numpy.random.Generator.
        images: uint8 [N, H, W, C]; `patches` divides H and W.
        patches: squares along each side, at least 2.
    Returns:
        uint8 [N, H, W, C].
    """
    n, height, width, channels = images.shape
    rows, columns, count = height // patches, width // patches, patches**2
    cut = images.reshape(n, patches, rows, patches, columns, channels).swapaxes(2, 3)
    cut = cut.reshape(n, count, rows, columns, channels)
    order = rng.permuted(np.tile(np.arange(count), (n, 1)), axis=1)
    same = (order == np.arange(count)).all(axis=1)
    order[same] = np.roll(order[same], 1, axis=1)
    cut = np.take_along_axis(cut, order[:, :, None, None, None], axis=1)
    cut = cut.reshape(n, patches, patches, rows, columns, channels).swapaxes(2, 3)
    return cut.reshape(n, height, width, channels)


GENERATED = {
    "uniform_noise": uniform_noise,
    "gaussian_noise": gaussian_noise,
    "constant_colour": constant_colour,
}

# name -> what it is.
EMBEDDED = {
    "digits": "scikit-learn's handwritten digits, both splits",
    "uniform_noise": "uniform noise in 0..255",
    "gaussian_noise": "Gaussian noise, mean 0.5, deviation 1, clipped to [0, 1]",
    "constant_colour": "one random colour an image",
    "shuffled_patches": f"{PATCHES} x {PATCHES} patches of test images in random order",
}


def expand(names, trained_on):
    """Return the names that a list stands for, without repetition, in its order.

    Args:
        names: list of str.
        trained_on: name of the run's data set.
    Returns:
        list of str.
    Raises:
        DataError: no name, one that is nearly an embedded set's, or the run's own set.
    """
    expanded = {}
    for name in names:
        known = [*GROUPS, *EMBEDDED]
        # A name that is not here goes to TensorFlow Datasets, which names its own nearest.
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
        if near and name not in known:
            raise DataError(f"there is no OOD set {name!r}; did you mean {near[0]!r}?")
        expanded |= dict.fromkeys(GROUPS.get(name, (name,)))
    for name in expanded:
        if name.partition(":")[0] == trained_on.partition(":")[0]:
            raise DataError(
                f"{name!r} is what the run was trained on, so none of its images is out of distribution"
            )
    expanded = [name for name in expanded if name]
    if not expanded:
        raise DataError(f"name OOD sets: a set of TFDS, or {', '.join((*GROUPS, *EMBEDDED))}")
    return expanded


def load(name, count, seed, dataset, test_images, data_dir="", log=print):
    """Load images of one set, in an order that `seed` decides.

    Args:
        name: of `expand`.
        count: images at most.
        seed: int, at least 0; each set draws its own numbers from it, whatever other sets are used.
        dataset: data.Dataset that the run was trained on.
        test_images: uint8 [N, S, S, 3] of it, the source of shuffled_patches.
        data_dir: of sets that are not embedded; see data.load.
        log: as data.load's.
    Returns:
        Outliers.
    Raises:
        DataError: an unknown set, one that can't be had, or another name of the run's own.
    """
    rng, note = np.random.default_rng([seed, *name.encode()]), ""
    size = test_images.shape[1]
    if name in GENERATED:
        images = GENERATED[name](rng, count, size)
    elif name == "shuffled_patches":
        images = shuffled_patches(rng, test_images[:count])
    else:
        other = data.load(name, data_dir, log=log, size=size)
        if other.fingerprint == dataset.fingerprint:
            raise DataError(f"{name!r} holds the very images that the run was trained on")
        note = overlap(dataset, other)
        # No model here has seen any of the digits; of other sets the test split is the usual one.
        splits = ("train", "test") if name == "digits" else ("test",)
        images = np.concatenate([other.split(split)[0] for split in splits])
        images = images[rng.permutation(len(images))[:count]]
    return Outliers(name, images, EMBEDDED.get(name, f"test split of {name} (TFDS)"), note)


def overlap(dataset, other):
    """Say in words what two sets have in common; "" where nothing is known.

    Args:
        dataset, other: data.Dataset.
    """
    both = [name for name in dataset.class_names if name in other.class_names]
    if both:
        return f"the sets share {len(both)} classes: {', '.join(both)}"
    names = frozenset(each.name.partition(":")[0] for each in (dataset, other))
    return OVERLAPS.get(names, "")
