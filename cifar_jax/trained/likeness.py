"""Whether an image is like those that a model was trained on, by its energy."""

import dataclasses

import numpy as np
from scipy.special import logsumexp

ACCEPTED = 0.95  # share of the images held out that a threshold lets pass


def energy(logits, temperature=1.0):
    """Return minus the free energy, T log sum_c exp(logit_c / T).

    Args:
        logits: float [N, C].
        temperature: T > 0.
    Returns:
        float [N].

    Liu et al., Energy-based Out-of-distribution Detection, 2020, https://arxiv.org/abs/2010.03759
    """
    return temperature * logsumexp(np.asarray(logits, float) / temperature, axis=1)


@dataclasses.dataclass(frozen=True)
class Limit:
    """The energy below which a picture is taken for unlike the data set, and how often that is wrong."""

    threshold: float
    false_alarms: float  # share of the test images that are below it
    test_images: int
    held_out: str = "validation images"  # of which ACCEPTED reach the threshold


def choose_limit(held_out, test):
    """Choose the energy that ACCEPTED of some images reach, and count how often it is wrong of others.

    Args:
        held_out: float [N], energies of images that were not trained on.
        test: float [M], of the test images.
    Returns:
        Limit.
    """
    threshold = float(np.quantile(held_out, 1 - ACCEPTED))
    return Limit(threshold, float(np.mean(test < threshold)), len(test))
