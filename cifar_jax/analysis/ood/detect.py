"""Images of a run's data set told from others: every set scored and judged."""

import numpy as np

from cifar_jax import trained
from cifar_jax.analysis.ood import COUNT, detection, features
from cifar_jax.analysis.ood import results as ood_results
from cifar_jax.analysis.ood import scores as ood
from cifar_jax.data import outliers
from cifar_jax.errors import UserError


def checked_layers(layer, threshold, model_name):
    """Choose the layers that a command line asks for.

    Args:
        layer: names with commas between; None for the default.
        threshold: float or None.
        model_name: of the registry.
    Returns:
        list of str, without repetition.
    Raises:
        UserError: no name, or a threshold for several layers.
    """
    if layer is None:
        if not model_name.startswith("big_net"):
            return [features.PENULTIMATE]
        return ["relu_10"] if threshold is not None else ["relu_9", "relu_10"]
    layers = list(dict.fromkeys(name.strip() for name in layer.split(",") if name.strip()))
    if not layers:
        raise UserError("--layer names no layer")
    if threshold is not None and len(layers) > 1:
        raise UserError(f"--threshold is for one layer, but --layer names {len(layers)}")
    return layers


def in_distribution(run, seed):
    """Read the run's own images to choose thresholds on, and to judge on, in an order that `seed` decides.

    Without a validation set the test set is halved.

    Args:
        run: trained.Trained.
        seed: int.
    Returns:
        ((where from, uint8 images), (where from, uint8 images)): held out, judged.
    """
    rng = np.random.default_rng(seed)
    test, _, _ = trained.split(run, "test")
    order = rng.permutation(len(test))
    try:
        held_out, _, _ = trained.split(run, "validation")
    except UserError:
        half = len(test) // 2
        return (
            ("half of the test split", test[order[:half]]),
            ("the other half of the test split", test[order[half:]]),
        )
    shuffled = held_out[rng.permutation(len(held_out))]
    return ("validation split", shuffled), ("test split", test[order])


def detect(scorer, names, threshold=None, count=COUNT):
    """Score and judge every set.

    Args:
        scorer: scoring.Scorer.
        names: of the sets, of data.outliers.expand.
        threshold: of the mean activation; None for chosen ones.
        count: judged images of each kind at most.
    Returns:
        (ood.json but for `figures` and `histograms`, set -> ood_results.Judged).
    Raises:
        UserError: a set that there is not, or a model whose outputs are not finite.
    """
    run, layers, seed = scorer.run, scorer.layers, scorer.seed
    (held_from, held_images), (judged_from, judged_images) = in_distribution(run, seed)
    sets = _load(run, names, count, seed)
    judged_images, held_images = judged_images[:count], held_images[:count]
    described = ood.described(layers)
    inside, inside_held = scorer(judged_images, judged_from), scorer(held_images, held_from)
    given = {} if threshold is None else {ood.of_layer(layers[0]): threshold}
    rows, about, judged = [], {}, {}
    for name, others in sets.items():
        half = len(others.images) // 2
        m, n = min(half, len(held_images)), min(len(others.images) - half, len(judged_images))
        outside_images = others.images[half:][:n]
        outside_held, outside = scorer(others.images[:m], name), scorer(outside_images, name)
        own = {score: values[:n] for score, values in inside.items()}
        judged[name] = ood_results.Judged(judged_images[:n], outside_images, own, outside)
        about[name] = {"source": others.source, "note": others.note, "held_out": m, "judged": n}
        for score in described:
            chosen = given.get(score)
            if chosen is None:
                chosen = detection.best_threshold(inside_held[score][:m], outside_held[score])
            rows.append(
                ood_results.row(name, score, own[score], outside[score], chosen, score in given)
            )
    results = {
        "version": ood_results.VERSION,
        "run": {
            "workdir": str(run.workdir),
            "checkpoint": run.checkpoint,
            "step": run.step,
            "model": run.config.model.name,
        },
        "in_distribution": {"name": run.dataset.name, "held_out": held_from, "judged": judged_from},
        "options": {
            "seed": seed,
            "count": count,
            "layers": list(layers),
            "threshold": threshold,
            "train_count": scorer.known_count,
            "neighbours": min(ood.NEIGHBOURS, scorer.known_count),
            "interval": detection.LEVEL,
        },
        "sets": about,
        "scores": described,
        "results": rows,
        "reported": ood_results.REPORTED,
    }
    return results, judged


def _load(run, names, count, seed):
    """Load name -> data.outliers.Outliers, at most `count` images for each of the two halves."""
    where = run.config.dataset.data_dir
    test, _ = run.dataset.split("test")
    # From the end of the order in which `in_distribution` judges: others, where there are enough.
    order = np.random.default_rng(seed).permutation(len(test))[::-1][: 2 * count]
    sets = {}
    for name in names:
        sets[name] = outliers.load(name, 2 * count, seed, run.dataset, test[order], where)
        if len(sets[name].images) < 2:
            raise UserError(f"the OOD set {name!r} has too few images to hold out half of them")
    return sets
