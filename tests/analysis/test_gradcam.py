"""Grad-CAM: by hand, and over all models."""

import functools

import cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_jit import quick_jit
from tiers import tiered

from cifar_jax import models
from cifar_jax.analysis import gradcam, named_layers
from cifar_jax.errors import UserError
from cifar_jax.models import registry
from cifar_jax.models.layers import max_pool


def rest_of_basic_net(params, features):
    """Its logits from what its second ReLU gives, [B, 10, 10, 16]."""
    x = max_pool(features).reshape(len(features), -1)
    for name in ("fc1", "fc2", "fc3"):
        x = x @ params[name]["kernel"] + params[name]["bias"]
        x = x if name == "fc3" else jax.nn.relu(x)
    return x


@pytest.mark.thorough
@pytest.mark.parametrize("classes", [None, [7, 2]])
def test_maps_of_basic_net_by_hand(classes):
    """Its rest written out, so that the gradient is one with respect to an argument."""
    model, variables, images = cases.ready("basic_net")
    given = None if classes is None else np.array(classes)

    @quick_jit
    def both(variables, images):
        params = variables["params"]
        features = named_layers.activations(model, variables, images, "conv2_relu")
        logits = rest_of_basic_net(params, features)
        chosen = jnp.argmax(logits, axis=1) if given is None else given

        def logits_of_classes(features):
            return rest_of_basic_net(params, features)[jnp.arange(2), chosen].sum()

        gradient = jax.grad(logits_of_classes)(features)
        return features, gradient, gradcam.maps(model, variables, images, given)

    features, gradient, maps = jax.device_get(both(variables, images))
    alpha = gradient.mean(axis=(1, 2))
    expected = np.maximum(sum(alpha[:, None, None, k] * features[..., k] for k in range(16)), 0)
    assert maps.shape == (2, 10, 10) and np.max(expected) > 0
    np.testing.assert_allclose(maps, expected, atol=1e-5 * np.max(expected))


def test_weights_are_slopes_of_the_logit():
    """Against finite differences: what adding a little to a whole feature map does to the logit, per pixel."""
    model, variables, images = cases.ready("big_net", "float64")
    step = 1e-6

    @quick_jit
    def both(variables, images):
        conv3 = named_layers.activations(model, variables, images, "conv3")

        def logit(change):
            def add(name, value):
                return value + change if name == "conv3" else value

            return named_layers.apply_with_hooks(model, variables, images, add)[:, 3]

        steps = step * jnp.eye(64)
        rise = jax.lax.map(lambda change: logit(change) - logit(-change), steps)  # [64, B]
        return conv3, rise.T, gradcam.maps(model, variables, images, np.array([3, 3]), "conv3")

    with jax.enable_x64(True):
        conv3, rise, maps = jax.device_get(both(variables, images))
    alpha = rise / (2 * step) / 49
    expected = np.maximum(np.einsum("bhwk,bk->bhw", conv3, alpha), 0)
    assert np.max(expected) > 0
    np.testing.assert_allclose(maps, expected, atol=1e-6 * np.max(expected))


# Compiling a deep model takes long. Of all the shapes are looked at, and of each kind of block the values in
# test_gradcam_parity.py.
COMPILED = [name for name in cases.REPORT_MODELS if name != "resnet18"]
COMPILED += ["resnet9", "airbench_net", "vgg16_bn", "vgg16", "wide_resnet_28_10"]
FIRST = ["basic_net", "big_net_improved"]


# Those with this ending are other sizes of the same classes.
SIZES_OF_32 = [name for name in models.names() if not name.endswith("_imagenet")]


@pytest.mark.parametrize("name", tiered(SIZES_OF_32, cases.FEW))
def test_every_model_is_explained(name):
    """At the last map before its pooling or its linear layers, found without being told."""
    model, variables = models.create(name), registry.shapes(name)
    images = jax.ShapeDtypeStruct(cases.inputs(cases.Case(name))[0].shape, jnp.float32)
    shapes = named_layers.layers(model, variables, images.shape)
    maps = jax.eval_shape(functools.partial(gradcam.maps, model), variables, images)
    assert maps.shape == shapes[gradcam.default_layer(shapes)][:3] and maps.dtype == np.float32


@pytest.mark.parametrize("name", tiered(COMPILED, FIRST))
def test_maps_are_finite_and_not_negative(name):
    model, variables, images = cases.ready(name)
    maps = quick_jit(functools.partial(gradcam.maps, model))(variables, images)
    assert np.all(np.isfinite(maps)) and np.min(maps) >= 0 and np.max(maps) > 0


LAST = {
    "plain_cnn": "conv6_activation",
    "modified_net": "bn3",
    "selective_kernel_net": "block6",
    "basic_net": "conv2_relu",
    "attention_net": "attention3",
    "resnet18": "stage4_block2",
    "big_net_improved": "conv3_relu",
    "preact_resnet18": "stage4_block2",
    "wide_resnet_28_10": "bn",
    "resnet9": "stage3_sum",
    "airbench_net": "group3_gelu2",
    "vgg16_bn": "stage5_conv3",
    "densenet121": "bn",
    "googlenet": "inception5b",
    "mobilenet_v2": "head",
    "vgg16": "stage5_conv3_relu",
    "inception_v3": "mixed_7c",
    "mobilenet_v2_imagenet": "head_relu6",
}


@pytest.mark.parametrize("name", tiered(LAST, [name for name in LAST if name in cases.FEW]))
def test_the_default_layer_at_the_models_own_size(name):
    shape = (1, *models.REGISTRY[name].input_shape)
    shapes = named_layers.layers(models.create(name), registry.shapes(name), shape)
    assert gradcam.default_layer(shapes) == LAST[name]


def test_an_image_is_explained_alone_and_a_layer_may_be_named_by_its_alias():
    model, variables, images = cases.ready("big_net")

    @quick_jit
    def run(variables, images):
        together = gradcam.maps(model, variables, images)
        return together, gradcam.maps(model, variables, images[1:], None, "relu_9")

    together, alone = run(variables, images)
    np.testing.assert_allclose(together[1:], alone, atol=1e-5 * np.max(alone))


@pytest.mark.parametrize(
    ("layer", "message"),
    [("relu_10", "vectors, not maps; .* 'conv3_relu'"), ("conv4", "did you mean `conv")],
)
def test_a_layer_without_a_map_is_refused(layer, message):
    model, variables, images = cases.ready("big_net")
    with pytest.raises(UserError, match=message):
        gradcam.maps(model, variables, images, None, layer)


@pytest.mark.thorough
def test_in_half_precision_maps_are_float32_and_near():
    model, variables, images = cases.ready("big_net_improved")
    half, classes = models.create("big_net_improved", dtype=jnp.bfloat16), np.arange(8)

    @quick_jit
    def both(variables, images):
        return [gradcam.maps(each, variables, images, classes) for each in (model, half)]

    exact, maps = jax.device_get(both(variables, images))
    assert maps.dtype == np.float32
    assert 0 < np.linalg.norm(maps - exact) < 0.1 * np.linalg.norm(exact)


def test_display():
    maps = np.array([[[0, 2], [1, 4]], [[0, 0], [0, 0]]], np.float32)
    shares = gradcam.normalized(maps)
    np.testing.assert_array_equal(shares[0], maps[0] / 4)
    np.testing.assert_array_equal(shares[1], 0)
    large = gradcam.resized(shares, 4, 4)
    assert large.shape == (2, 4, 4)
    # Pixels' centres are a quarter and three quarters of the way between those of the map.
    np.testing.assert_allclose(large[0, 0], [0, 0.125, 0.375, 0.5])
