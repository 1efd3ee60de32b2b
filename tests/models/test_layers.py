"""The shared layers: initial distribution, batch statistics, the choice of formulation."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_jit import quick_jit

from cifar_jax.models import layers
from cifar_jax.models.attention import SelfAttention
from cifar_jax.models.layers import BatchNorm, Conv, DepthwiseConv, Linear
from cifar_jax.models.ops import choice


@pytest.mark.parametrize(
    ("layer", "channels", "fan_in"),
    [
        (Conv(64, 3), 16, 3 * 3 * 16),
        (Conv(512, 5, groups=4), 64, 5 * 5 * 64 // 4),
        (DepthwiseConv(2048, 3), 2048, 3 * 3),
        (Linear(256), 100, 100),
    ],
    ids=["conv", "grouped", "depthwise", "linear"],
)
def test_initial_distribution(layer, channels, fan_in):
    """Weights and biases are U(-b, b), b = 1/sqrt(fan_in): bound, mean and deviation b/sqrt(3)."""
    params = quick_jit(layer.init)(jax.random.key(0), jnp.zeros((1, 8, 8, channels)))["params"]
    bound = 1 / math.sqrt(fan_in)
    for value in (np.asarray(params["kernel"]), np.asarray(params["bias"])):
        standard_error = 1 / math.sqrt(value.size)
        assert bound * (1 - 10 / value.size) < np.max(np.abs(value)) <= bound
        assert abs(np.mean(value)) < 4 * standard_error * bound / math.sqrt(3)
        assert np.std(value) == pytest.approx(bound / math.sqrt(3), rel=4 * standard_error)


@pytest.mark.parametrize("relu", [False, True])
def test_batch_norm_normalises_and_tracks(relu):
    x = 3 + 2 * jax.random.normal(jax.random.key(0), (4, 3, 3, 5))
    layer = BatchNorm(relu=relu)
    variables = layer.init(jax.random.key(0), x, train=True)
    np.testing.assert_array_equal(variables["batch_stats"]["var"], np.ones(5))

    y, updates = layer.apply(variables, x, train=True, mutable=["batch_stats"])
    pixels = np.asarray(x, np.float64).reshape(-1, 5)
    z = (pixels - pixels.mean(0)) / np.sqrt(pixels.var(0) + 1e-5)
    np.testing.assert_allclose(y.reshape(-1, 5), np.maximum(z, 0) if relu else z, atol=1e-5)
    stats = updates["batch_stats"]
    np.testing.assert_allclose(stats["mean"], 0.1 * pixels.mean(0), rtol=1e-5)
    np.testing.assert_allclose(stats["var"], 0.9 + 0.1 * pixels.var(0, ddof=1), rtol=1e-5)

    y = layer.apply({**variables, **updates}, x, train=False)
    z = (pixels - stats["mean"]) / np.sqrt(stats["var"] + 1e-5)
    np.testing.assert_allclose(y.reshape(-1, 5), np.maximum(z, 0) if relu else z, atol=1e-5)


@pytest.mark.parametrize("platform", ["cpu", "gpu", "tpu"])
def test_formulation_follows_the_platform(platform, monkeypatch):
    """On the CPU none of these is XLA's own; on a GPU all but pooling are, elsewhere all."""
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    x = jnp.zeros((1, 8, 8, 4))
    for size, stride, padding, groups in [(3, 1, 1, 4), (1, 1, 0, 1), (3, 2, 1, 1)]:
        kernel = jnp.zeros((size, size, 4 // groups, 4))
        options = (stride, padding, groups)
        traced = str(jax.make_jaxpr(lambda x, k, o=options: choice.conv(x, k, *o))(x, kernel))
        assert ("conv_general_dilated" in traced) == (platform != "cpu")
    traced = str(jax.make_jaxpr(lambda x: layers.max_pool(x))(x))
    assert ("reduce_window" in traced) == (platform == "tpu")
    traced = str(jax.make_jaxpr(lambda x: layers.max_pool(x, 3, 2))(x))
    assert ("reduce_window" in traced) == (platform == "tpu")


@pytest.mark.parametrize(
    ("shape", "features", "padding", "dtype", "chosen"),
    [
        ((128, 8, 8, 256), 256, 1, "float32", True),
        ((8, 8, 8, 256), 256, 1, "float32", True),
        ((8, 8, 8, 256), 512, 1, "float32", False),  # fewer pixels than the kernel is worth
        ((128, 8, 8, 128), 64, 1, "float32", True),
        ((128, 8, 8, 64), 128, 1, "float32", True),
        ((128, 8, 8, 64), 64, 1, "float32", False),
        ((128, 8, 8, 256), 256, 3, "float32", False),
        ((128, 8, 8, 256), 256, 1, "bfloat16", False),
    ],
)
def test_winograds_convolution_is_for_many_channels(shape, features, padding, dtype, chosen):
    x, kernel = jnp.zeros(shape, dtype), jnp.zeros((3, 3, shape[-1], features), dtype)
    with choice.formulations_of("cpu"):
        traced = str(jax.make_jaxpr(lambda x, k: choice.conv(x, k, 1, padding))(x, kernel))
    assert ("winograd_conv" in traced) == chosen


def test_attention_for_a_gpu_is_one_convolution_in_training_and_three_named_layers_in_evaluation():
    x, layer = jax.random.normal(jax.random.key(0), (2, 4, 4, 16)), SelfAttention()
    variables = layer.init(jax.random.key(1), x, train=True)

    def trained(params, x):
        return jnp.sum(layer.apply({"params": params}, x, train=True) ** 2)

    def program(platform, train):
        with choice.formulations_of(platform):
            return str(jax.make_jaxpr(lambda x: layer.apply(variables, x, train))(x))

    assert program("gpu", train=True).count("conv_general_dilated[") == 1
    assert program("tpu", train=True).count("conv_general_dilated[") == 3

    gradients = {}
    for platform in ("cpu", "gpu"):
        with choice.formulations_of(platform):
            gradients[platform] = jax.grad(trained, argnums=(0, 1))(variables["params"], x)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), *gradients.values()
    )
    with choice.formulations_of("gpu"):
        _, seen = layer.apply(variables, x, train=False, capture_intermediates=True)
    assert {"query", "key", "value"} < seen["intermediates"].keys()
