"""The Pallas candidate of benchmarks/gpu.py: interpreted, against XLA's own convolution; lowered for CUDA."""

import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command_line import ROOT

from cifar_jax.models.convolution import xla_conv

depthwise_conv = runpy.run_path(str(ROOT / "benchmarks/depthwise_kernel.py"))["depthwise_conv"]


def values_and_gradients(function, x, kernel):
    y, vjp = jax.vjp(function, x, kernel)
    return y, *vjp(jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))


@pytest.mark.parametrize(
    ("shape", "stride", "padding", "dtype", "tolerance"),
    [
        ((2, 8, 8, 3), 1, 1, "float32", 1e-4),
        ((1, 9, 7, 70), 2, 1, "float64", 1e-10),  # odd sizes, more channels than a block, one image
        ((2, 5, 5, 4), 1, 0, "float64", 1e-10),
        ((2, 20, 20, 2), 1, 1, "float64", 1e-10),  # several blocks of pixels a split
    ],
)
def test_it_is_xlas(shape, stride, padding, dtype, tolerance):
    with jax.enable_x64(dtype == "float64"):
        random = np.random.default_rng(0)
        x, kernel = (
            jnp.asarray(random.normal(size=each).astype(dtype))
            for each in (shape, (3, 3, 1, shape[-1]))
        )
        ours = values_and_gradients(
            lambda x, k: depthwise_conv(x, k, stride, padding, True), x, kernel
        )
        xlas = values_and_gradients(
            lambda x, k: xla_conv(x, k, stride, padding, shape[-1]), x, kernel
        )
        for mine, theirs in zip(ours, xlas, strict=True):
            assert mine.shape == theirs.shape and mine.dtype == theirs.dtype
            assert jnp.max(jnp.abs(mine - theirs)) < tolerance * jnp.max(jnp.abs(theirs))


def test_under_vmap():
    random = np.random.default_rng(0)
    x = jnp.asarray(random.normal(size=(3, 2, 6, 6, 4)).astype("float32"))
    kernel = jnp.asarray(random.normal(size=(3, 3, 3, 1, 4)).astype("float32"))
    found = jax.vmap(lambda x, k: depthwise_conv(x, k, 1, 1, True))(x, kernel)
    for mine, each, k in zip(found, x, kernel, strict=True):
        np.testing.assert_allclose(mine, xla_conv(each, k, 1, 1, 4), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_it_lowers_for_cuda(dtype):
    x, kernel = jnp.ones((8, 32, 32, 64), dtype), jnp.ones((3, 3, 1, 64), dtype)

    def all_three(x, kernel):
        return values_and_gradients(lambda x, k: depthwise_conv(x, k, 2, 1), x, kernel)

    lowered = jax.jit(all_three).trace(x, kernel).lower(lowering_platforms=("cuda",))
    assert lowered.as_text().count("custom_call @") == 3
