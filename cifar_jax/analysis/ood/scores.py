"""Scores that tell images of the training distribution from others: pure functions of a model's outputs.

Each returns float [N]; greater = more in-distribution.
"""

from typing import NamedTuple

import numpy as np
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from cifar_jax.analysis import scores
from cifar_jax.trained.likeness import energy

NEIGHBOURS = 50  # what Sun et al. take for CIFAR-10


def mean_activation(activations):
    """Return the mean over all units of a layer.

    Args:
        activations: float [N, ...], of NumPy or JAX.
    Returns:
        float [N], of the same.

    Report 004 (Murgolo), section 2.3
    """
    return activations.reshape(len(activations), -1).mean(axis=1)


def max_softmax(logits):
    """Return the greatest probability that the model gives to a class.

    Computed in float64, in which fewer of the sure images tie at 1.

    Args:
        logits: float [N, C].
    Returns:
        float [N].

    Hendrycks and Gimpel, A Baseline for Detecting Misclassified and Out-of-Distribution Examples in Neural
    Networks, 2017, https://arxiv.org/abs/1610.02136
    """
    return scores.probabilities(logits).max(axis=1)


def max_logit(logits):
    """Return the greatest logit.

    Args:
        logits: float [N, C].
    Returns:
        float [N].

    Hendrycks et al., Scaling Out-of-Distribution Detection for Real-World Settings, 2022,
    https://arxiv.org/abs/1911.11132
    """
    return np.asarray(logits, float).max(axis=1)


class ClassGaussians(NamedTuple):
    """A normal distribution for each class; they share the covariance."""

    means: np.ndarray  # float [C, D]
    precision: np.ndarray  # float [D, D], the inverse of the covariance


def fit_class_gaussians(features, labels):
    """Fit class means, and the covariance about them, shrunk towards a multiple of the identity.

    The shrinkage is Ledoit and Wolf's, which the data decides: units that are constant, or more units than
    images, leave no covariance without an inverse.

    Args:
        features: float [N, D].
        labels: int [N].
    Returns:
        ClassGaussians, of the classes that `labels` holds, in ascending order.

    Lee et al., A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks,
    2018, https://arxiv.org/abs/1807.03888; Ledoit and Wolf, A Well-Conditioned Estimator for Large-Dimensional
    Covariance Matrices, 2004, https://doi.org/10.1016/S0047-259X(03)00096-4
    """
    features, (classes, number) = (
        np.asarray(features, float),
        np.unique(labels, return_inverse=True),
    )
    means = np.stack([features[number == i].mean(axis=0) for i in range(len(classes))])
    fitted = LedoitWolf(assume_centered=True).fit(features - means[number])
    return ClassGaussians(means, fitted.precision_)


def mahalanobis(features, gaussians):
    """Return minus the squared Mahalanobis distance to the nearest class mean.

    Of Lee et al.'s method the core: penultimate features only, no perturbed inputs.

    Args:
        features: float [N, D].
        gaussians: ClassGaussians.
    Returns:
        float [N].

    Lee et al., 2018, https://arxiv.org/abs/1807.03888
    """
    features = np.asarray(features, float)
    squared = []
    for mean in gaussians.means:
        away = features - mean
        squared.append(np.sum((away @ gaussians.precision) * away, axis=1))
    return -np.min(squared, axis=0)


def nearest_neighbours(features, known, k=NEIGHBOURS):
    """Return minus the distance to the k-th nearest known image, features being scaled to length 1.

    Args:
        features: float [N, D].
        known: float [M, D], of training images.
        k: rank of the neighbour, from 1; M where there are fewer.
    Returns:
        float [N].

    Sun et al., Out-of-Distribution Detection with Deep Nearest Neighbors, 2022, https://arxiv.org/abs/2204.06507
    """
    k = min(k, len(known))
    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(normalize(known))
    distances, _ = search.kneighbors(normalize(features))
    return -distances[:, -1].astype(float)


# name -> (title, source), in the order of tables.
FIELD = {
    "max_softmax": ("Maximum softmax", "Hendrycks and Gimpel 2017"),
    "energy": ("Energy", "Liu et al. 2020"),
    "max_logit": ("Maximum logit", "Hendrycks et al. 2022"),
    "mahalanobis": ("Mahalanobis", "Lee et al. 2018"),
    "nearest_neighbours": ("Nearest neighbours", "Sun et al. 2022"),
}


def of_layer(layer):
    """Return the name of mean_activation's score for a layer, fit for a file name."""
    return f"mean_activation_{layer.replace('/', '_')}"


def described(layers):
    """Return name -> {title, source, layer or None}, in the order of `all_scores`."""
    own = {
        of_layer(layer): {"title": f"Mean of {layer}", "source": "report 004", "layer": layer}
        for layer in layers
    }
    return own | {
        name: {"title": title, "source": source, "layer": None}
        for name, (title, source) in FIELD.items()
    }


def all_scores(outputs, gaussians, known):
    """Compute every score of the same images.

    Args:
        outputs: features.Outputs; its `means` are mean_activation's scores already.
        gaussians: ClassGaussians of the training split.
        known: float [M, D], penultimate features of the training split.
    Returns:
        name -> float [N]: of_layer(layer) for each layer of outputs.means, then those of FIELD.
    """
    logits, features, means = outputs
    return {of_layer(layer): np.asarray(values, float) for layer, values in means.items()} | {
        "max_softmax": max_softmax(logits),
        "energy": energy(logits),
        "max_logit": max_logit(logits),
        "mahalanobis": mahalanobis(features, gaussians),
        "nearest_neighbours": nearest_neighbours(features, known),
    }
