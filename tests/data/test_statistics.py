"""Mean and deviation: the published ones, or exact ones."""

import numpy as np

from cifar_jax.data.dataset import mean_and_std


def test_known():
    assert mean_and_std("cifar10", None) == ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))


def test_computed():
    images = np.random.default_rng(0).integers(0, 256, (50, 32, 32, 3), dtype=np.uint8)
    mean, std = mean_and_std("mnist", images)
    pixels = images.reshape(-1, 3) / 255
    np.testing.assert_allclose(mean, pixels.mean(0), rtol=1e-12)
    np.testing.assert_allclose(std, pixels.std(0), rtol=1e-12)
