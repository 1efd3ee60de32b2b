"""A model as a finished run would have it, without a training."""

import jax
import numpy as np

from cifar_jax import config, data, models, trained
from cifar_jax.models import inference


def untrained(name, dtype="float32", **evaluation):
    """What trained.open_run gives of a model, without a run: weights and statistics at random.

    Args:
        evaluation: fields of the config's section of that name.
    """
    c = config.default()
    c.update({"dtype": dtype, "model": {"name": name}, "dataset": {"name": "digits"}})
    c.evaluation.update(evaluation)
    random = np.random.default_rng(0)

    def draw(path, leaf):
        if path[-1].key in ("scale", "var"):
            return random.uniform(0.5, 1.5, leaf.shape).astype(leaf.dtype)
        bound = np.sqrt(6 / np.prod(leaf.shape[:-1])) if leaf.ndim > 1 else 0.1
        return random.uniform(-bound, bound, leaf.shape).astype(leaf.dtype)

    variables = jax.tree_util.tree_map_with_path(draw, models.registry.shapes(name, 10))
    dataset = data.load("digits")
    finished = inference.of_run(config.check(c), dataset)
    return trained.Trained(None, c, dataset, finished, variables, "last", 0)
