"""Formulations whose programs XLA's CPU compiler makes quickly, and that compute what the longer ones do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cifar_jax.models import inference
from cifar_jax.models.ops import convolution, reductions


@pytest.mark.parametrize(("stride", "padding"), [(1, 1), (2, 1), (1, 0)])
def test_the_sums_of_a_depthwise_kernels_gradient_in_turn_are_those_at_once(
    stride, padding, monkeypatch
):
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 4))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 1, 4))

    def gradient(kernel):
        y = convolution.depthwise_conv(x, kernel, stride, padding)
        return jnp.sum(jnp.sin(y))

    in_turn = jax.jit(jax.grad(gradient))(kernel)
    monkeypatch.setattr(reductions, "CACHED", 0)
    at_once = jax.jit(lambda kernel: jax.grad(gradient)(kernel))(kernel)
    np.testing.assert_allclose(in_turn, at_once, rtol=1e-5, atol=1e-5)


def test_small_taps_are_one_program():
    def gradient(kernel, x):
        return jnp.sum(convolution.depthwise_conv(x, kernel, 1, 1) ** 2)

    shapes = jnp.zeros((3, 3, 1, 4)), jnp.zeros((2, 8, 8, 4))
    text = jax.jit(jax.grad(gradient)).lower(*shapes).as_text()
    assert text.count("stablehlo.dot_general") == 1 and "stablehlo.while" in text


def test_bands_do_not_normalise_an_image_anew():
    def convolved(images, kernel):
        images = inference.normalize(images, (0.5,) * 3, (0.5,) * 3)
        return convolution.banded_conv(images, kernel)

    shapes = jnp.zeros((8, 32, 32, 3), jnp.uint8), jnp.zeros((5, 5, 3, 6))
    text = jax.jit(convolved).lower(*shapes).compile().as_text()
    assert text.count(" convert(") == 1
