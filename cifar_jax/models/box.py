"""The models in the box: weights that lie in the package, each with a card that says what they are.

A card (JSON) has the config, the commit, the data, the seed, the accuracy with its interval, the pairs of classes that
are confused most often, the energy by which an image unlike the data set is known, and the SHA-256 of the weights.
`benchmarks/keep_weights.py` writes both out of a run.
"""

import functools
import hashlib
import json
import pathlib
import types
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np

from cifar_jax.errors import UserError, nearest
from cifar_jax.models import inference, torch_weights

PREFIX = "pretrained:"
FOLDER = pathlib.Path(__file__).parent.parent / "pretrained"


class Pretrained(NamedTuple):
    """A model that can be asked at once: `inference.logits(variables, inference.normalize(images))`."""

    name: str
    card: dict[str, Any]
    inference: inference.Inference
    variables: Any  # float32


def names():
    """List the models in the box, the one of greatest accuracy first."""
    return sorted(
        (path.stem for path in FOLDER.glob("*.json")), key=lambda name: -card(name)["accuracy"]
    )


def is_named(text):
    """Return whether a text such as "pretrained:speedrun" names a model in the box, there or not."""
    return str(text).startswith(PREFIX)


@functools.cache
def card(name):
    """Read a card.

    Raises:
        UserError: there is no such model in the box; the nearest name.
    """
    name = name.removeprefix(PREFIX)
    known = [path.stem for path in FOLDER.glob("*.json")]
    if name not in known:
        raise UserError(f"there is no {PREFIX}{name[:100]}; {nearest(name, known)}")
    return json.loads((FOLDER / f"{name}.json").read_text())


def file_of(name):
    """Return the path of a model's weights, whose content is that of its card.

    Raises:
        UserError: as of `card`, or the file is gone or damaged.
    """
    name = name.removeprefix(PREFIX)
    path, expected = FOLDER / f"{name}.safetensors", card(name)["sha256"]
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
        raise UserError(f"{path} is not what its card says; install cifar_jax anew")
    return path


def pretrained(name: str) -> Pretrained:
    """Open a model in the box.

    Args:
        name: of `names`, with or without "pretrained:" before it.
    Returns:
        Pretrained.
    Raises:
        UserError: as of `file_of`.

    Example:
        >>> model = models.pretrained("speedrun")
        >>> logits = model.inference.logits(model.variables, model.inference.normalize(images))
    """
    from cifar_jax.models import weight_files

    facts = card(name)
    config = ml_collections.ConfigDict(facts["config"])
    lists = {key: tuple(facts["dataset"][key]) for key in ("class_names", "mean", "std")}
    dataset = types.SimpleNamespace(**facts["dataset"] | lists)
    arrays = weight_files.read(file_of(name))
    given = torch_weights.from_torch(config.model.name, arrays, len(dataset.class_names))
    variables = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), given)
    return Pretrained(facts["name"], facts, inference.of_run(config, dataset), variables)


def introduction(facts):
    """Say in a line what a model in the box is and what it knows; `facts` is its card."""
    dataset, limit = facts["dataset"], facts["limit"]
    low, high = facts["interval"]
    return (
        f"{facts['name']} answers, which names {facts['accuracy']:.2f} % (95 % interval {low:.2f} to {high:.2f}) of "
        f"the {dataset['sizes']['test']:,} test images of {facts['data']} rightly and knows nothing but "
        f"{', '.join(dataset['class_names'])}; it finds {100 * limit['false_alarms']:.1f} % of those images unlike "
        f"{dataset['name']}, too"
    )
