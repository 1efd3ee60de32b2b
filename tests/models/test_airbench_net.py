"""What airbench_net takes from the data, and what it begins with."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cifar_jax import models
from cifar_jax.models import airbench_net
from cifar_jax.models.airbench_net import EPSILON, whitening_kernel
from cifar_jax.models.ops import choice


def images(count=40, size=12, channels=3):
    """Neighbours and channels that go together, as those of photographs do; and a mean that is not 0."""
    noise = np.random.default_rng(0).normal(size=(count, size + 2, size + 2, channels))
    smooth = sum(noise[:, i : i + size, j : j + size] for i in range(3) for j in range(3))
    mixed = smooth @ (0.3 + np.diag([1.0, 0.7, 0.5])[:channels, :channels])
    return np.float32(mixed + 0.5)


def moments(images):
    """Of the 2x2 patches [row, column, channel], pixel by pixel, in float64."""
    total, count = 0.0, 0
    for image in np.float64(images):
        for row in range(image.shape[0] - 1):
            for column in range(image.shape[1] - 1):
                patch = image[row : row + 2, column : column + 2].ravel()
                total, count = total + np.outer(patch, patch), count + 1
    return total / count


def test_whitening_is_the_formula():
    kernel = np.asarray(jax.jit(whitening_kernel)(images()))
    assert kernel.shape == (2, 2, 3, 24) and kernel.dtype == np.float32
    eigenvalues, vectors = np.linalg.eigh(moments(images()))
    expected = vectors / np.sqrt(eigenvalues + EPSILON)
    expected *= np.sign(expected[np.abs(vectors).argmax(axis=0), range(12)])
    filters = kernel.reshape(12, 24)
    np.testing.assert_allclose(filters[:, :12], expected, rtol=1e-3, atol=2e-4)
    np.testing.assert_array_equal(filters[:, 12:], -filters[:, :12])
    np.testing.assert_array_equal(kernel, jax.jit(whitening_kernel)(images()))


def test_whitened_images_have_covariance_one():
    """Through the convolution itself, so that rows, columns and channels are in its order."""
    whitened = choice.conv(images(), whitening_kernel(images()))
    outputs = np.asarray(whitened, np.float64).reshape(-1, 24)[:, :12]
    covariance = outputs.T @ outputs / len(outputs)
    # Where there is little variance EPSILON takes its share.
    eigenvalues = np.linalg.eigvalsh(moments(images()))
    np.testing.assert_allclose(
        covariance, np.diag(eigenvalues / (eigenvalues + EPSILON)), atol=2e-3
    )
    assert np.diag(covariance).min() > 0.98


def test_grey_images_have_a_finite_kernel():
    """Nothing varies in two thirds of the directions: what they see is nothing, EPSILON or not."""
    grey = np.repeat(images(channels=1), 3, axis=-1)
    kernel = whitening_kernel(grey)
    assert np.isfinite(kernel).all()
    whitened = np.asarray(choice.conv(grey, kernel)).reshape(-1, 24)[:, :12]
    deviation = np.sqrt(np.mean(whitened**2, axis=0))
    np.testing.assert_allclose(deviation[:8], 0, atol=1e-2)
    np.testing.assert_allclose(deviation[8:], 1, atol=2e-2)


@pytest.mark.thorough
def test_initial_parameters():
    """Convolutions pass their inputs on; the other outputs, and biases, are PyTorch's default."""
    shape = jnp.zeros((1, 32, 32, 3))
    params = jax.jit(models.create("airbench_net").init)(jax.random.key(0), shape)["params"]
    x = jax.random.normal(jax.random.key(1), (2, 9, 9, 64))
    kernel = params["group2_conv1"]["kernel"]
    y = choice.conv(x, kernel, padding=1)
    np.testing.assert_allclose(y[..., :64], x, atol=1e-6)
    bound = 1 / np.sqrt(9 * 64)
    assert np.abs(kernel[..., 64:]).max() == pytest.approx(bound, rel=1e-3)
    assert np.std(kernel[..., 64:]) == pytest.approx(bound / np.sqrt(3), rel=0.01)
    assert np.std(params["fc"]["kernel"], ddof=1) == pytest.approx(1, rel=1e-5)
    assert 0.15 < np.abs(params["whiten"]["bias"]).max() <= 1 / np.sqrt(12)
    assert all(not params[name]["bias"].any() for name in params if "_bn" in name)
    assert set(params["group1_bn1"]) == {"bias"}


@pytest.mark.parametrize("shape", [(9, 9), (17, 40)])
def test_other_sizes_and_classes(shape):
    model = airbench_net.AirbenchNet(num_classes=7)
    batch = jax.ShapeDtypeStruct((2, *shape, 3), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), batch)
    logits, _ = jax.eval_shape(
        lambda v, x: model.apply(v, x, train=True, mutable=["batch_stats"]), variables, batch
    )
    assert logits.shape == (2, 7)
