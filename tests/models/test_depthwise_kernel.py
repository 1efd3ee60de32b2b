"""The Pallas candidate of benchmarks/gpu.py: interpreted, against XLA's own convolution; lowered for CUDA."""

import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command_line import ROOT
from jax.sharding import AbstractDevice, AbstractMesh, use_abstract_mesh
from quick_jit import quick_jit
from tiers import THOROUGH, tiered

from cifar_jax.models.ops.plain import xla_conv

depthwise_conv = runpy.run_path(str(ROOT / "benchmarks/depthwise_kernel.py"))["depthwise_conv"]


def values_and_gradients(function, x, kernel):
    y, vjp = jax.vjp(function, x, kernel)
    return y, *vjp(jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))


ODD_SIZES = (1, 9, 7, 70), 2, 1, "float64", 1e-10  # and more channels than a block, one image
OTHERS = [
    ((2, 8, 8, 3), 1, 1, "float32", 1e-4),
    ((2, 5, 5, 4), 1, 0, "float64", 1e-10),
    ((2, 20, 20, 2), 1, 1, "float64", 1e-10),  # several blocks of pixels a split
]


@pytest.mark.parametrize(
    ("shape", "stride", "padding", "dtype", "tolerance"),
    [pytest.param(*each, marks=THOROUGH) for each in (ODD_SIZES, *OTHERS)],
)
def test_it_is_xlas(shape, stride, padding, dtype, tolerance):
    with jax.enable_x64(dtype == "float64"):
        random = np.random.default_rng(0)
        x, kernel = (
            jnp.asarray(random.normal(size=each).astype(dtype))
            for each in (shape, (3, 3, 1, shape[-1]))
        )

        @quick_jit
        def both(x, kernel):
            functions = (
                lambda x, k: depthwise_conv(x, k, stride, padding, True),
                lambda x, k: xla_conv(x, k, stride, padding, shape[-1]),
            )
            return [values_and_gradients(function, x, kernel) for function in functions]

        ours, xlas = both(x, kernel)
        for mine, theirs in zip(ours, xlas, strict=True):
            assert mine.shape == theirs.shape and mine.dtype == theirs.dtype
            assert jnp.max(jnp.abs(mine - theirs)) < tolerance * jnp.max(jnp.abs(theirs))


@pytest.mark.thorough
def test_under_vmap():
    random = np.random.default_rng(0)
    x = jnp.asarray(random.normal(size=(3, 2, 6, 6, 4)).astype("float32"))
    kernel = jnp.asarray(random.normal(size=(3, 3, 3, 1, 4)).astype("float32"))
    together, alone = quick_jit(
        lambda x, kernel: (
            jax.vmap(lambda x, k: depthwise_conv(x, k, 1, 1, True))(x, kernel),
            [xla_conv(*each, 1, 1, 4) for each in zip(x, kernel, strict=True)],
        )
    )(x, kernel)
    for mine, xlas in zip(together, alone, strict=True):
        np.testing.assert_allclose(mine, xlas, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", tiered(["bfloat16", "float32"], ["bfloat16"]))
def test_it_lowers_for_cuda(dtype):
    shapes = (8, 32, 32, 64), (3, 3, 1, 64)
    x, kernel = (jax.ShapeDtypeStruct(shape, dtype) for shape in shapes)
    device = AbstractDevice("NVIDIA H100 80GB HBM3", num_cores=132, platform="cuda")

    def all_three(x, kernel):
        return values_and_gradients(lambda x, k: depthwise_conv(x, k, 2, 1), x, kernel)

    with use_abstract_mesh(AbstractMesh((), (), abstract_device=device)):  # from jax 0.12 on
        lowered = jax.jit(all_three).trace(x, kernel).lower(lowering_platforms=("cuda",))
    assert lowered.as_text().count("custom_call @") == 3
