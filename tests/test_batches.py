"""Functions of batches over any number of images."""

import numpy as np
import pytest

from cifar_jax.trained import batches


@pytest.mark.parametrize("count", [1, 4, 7, 8])
def test_every_image_has_its_own_result(count):
    sizes = []

    def step(images, numbers):
        sizes.append((len(images), len(numbers)))
        return {"sums": images.sum(axis=1) + numbers, "images": images}

    images, numbers = np.arange(3 * count).reshape(count, 3), np.arange(count)
    outputs = batches.apply_batched(step, 4, images, numbers)
    assert set(sizes) == {(4, 4)} and len(sizes) == -(-count // 4)
    np.testing.assert_array_equal(outputs["sums"], images.sum(axis=1) + numbers)
    np.testing.assert_array_equal(outputs["images"], images)
