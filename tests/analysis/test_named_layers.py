"""What the layers of a model give, by name."""

import cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_jit import quick_jit
from tiers import tiered

import cifar_jax.analysis
from cifar_jax import models
from cifar_jax.analysis import named_layers
from cifar_jax.errors import UserError
from cifar_jax.models import layers as model_layers
from cifar_jax.models import registry


@pytest.mark.parametrize("name", tiered(models.names(), cases.FEW))
def test_every_model_has_names_for_its_layers(name):
    """Each gives a map or vectors, and the whole model comes last."""
    shape = cases.inputs(cases.Case(name))[0].shape
    model = models.create(name)
    shapes = cifar_jax.analysis.layers(model, registry.shapes(name), shape)
    assert list(shapes)[-1] == "logits" and shapes["logits"] == (shape[0], model.num_classes)
    assert all(len(each) in (2, 4) and each[0] == shape[0] for each in shapes.values())


WATCHED = [*cases.REPORT_MODELS, "resnet9", "googlenet", "mobilenet_v2_imagenet"]


@pytest.mark.parametrize("name", tiered(WATCHED, cases.FEW))
def test_names_are_distinct_and_looking_changes_nothing(name):
    """The program of an evaluation is the same, operation by operation."""
    model, variables = models.create(name), registry.shapes(name)
    images = jax.ShapeDtypeStruct(cases.inputs(cases.Case(name))[0].shape, jnp.float32)
    visited = []

    def look(layer, value):
        visited.append((layer, value.shape))
        return value

    def apply(variables, images):
        return named_layers.apply_with_hooks(model, variables, images, look)

    watched = jax.make_jaxpr(apply)(variables, images)
    assert str(watched) == str(jax.make_jaxpr(model.apply)(variables, images))
    assert list(named_layers.layers(model, variables, images.shape).items()) == visited


def test_names_are_in_order_of_execution():
    shapes = named_layers.layers(
        models.create("big_net"), registry.shapes("big_net"), (2, 32, 32, 3)
    )
    assert shapes == {
        "conv1": (2, 32, 32, 32),
        "conv1_relu": (2, 32, 32, 32),
        "conv2": (2, 15, 15, 32),
        "conv2_relu": (2, 15, 15, 32),
        "conv3": (2, 7, 7, 64),
        "conv3_relu": (2, 7, 7, 64),
        "fc1": (2, 64),
        "fc1_relu": (2, 64),
        "fc2": (2, 10),
        "logits": (2, 10),
    }
    assert list(shapes)[:3] == ["conv1", "conv1_relu", "conv2"] and list(shapes)[-1] == "logits"


def test_activations_are_what_the_layers_give():
    model, variables, images = cases.ready("basic_net")

    names = ("conv2", "conv2_relu", "fc1_relu", "fc2", "logits")

    @quick_jit
    def look(variables, images):
        outputs = [cifar_jax.analysis.activations(model, variables, images, name) for name in names]
        return *outputs, model.apply(variables, images)

    conv2, conv2_relu, fc1_relu, fc2, logits, expected = jax.device_get(look(variables, images))
    assert conv2_relu.shape == (2, 10, 10, 16)
    np.testing.assert_array_equal(conv2_relu, np.maximum(conv2, 0))
    layer = variables["params"]["fc2"]
    np.testing.assert_allclose(fc2, fc1_relu @ layer["kernel"] + layer["bias"], atol=1e-5)
    np.testing.assert_array_equal(logits, expected)


@pytest.mark.parametrize("name", ["big_net", "big_net_improved"])
def test_the_names_of_report_004(name):
    """relu_9 is the last convolution's ReLU, relu_10 that of the layer of 64, behind its batch norm."""
    model, variables, images = cases.ready(name)

    @quick_jit
    def look(variables, images):
        layers = ("conv3", "relu_9", "bn" if name == "big_net_improved" else "fc1", "relu_10")
        return [named_layers.activations(model, variables, images, layer) for layer in layers]

    conv3, relu_9, before, relu_10 = look(variables, images)
    assert relu_9.shape[1:] == (7, 7, 64) and relu_10.shape[1:] == (64,)
    np.testing.assert_array_equal(relu_9, np.maximum(conv3, 0))
    np.testing.assert_array_equal(relu_10, np.maximum(before, 0))


@pytest.mark.parametrize(
    ("layer", "nearest"),
    [("conv3relu", "conv3_relu"), ("relu_8", "relu_"), ("pooling", "known:")],
)
def test_an_unknown_layer_is_refused_with_the_nearest(layer, nearest):
    model, variables, images = cases.ready("big_net")
    with pytest.raises(UserError, match=f"no layer '{layer}'.*{nearest}"):
        named_layers.activations(model, variables, images, layer)


def test_a_named_function_adds_no_operation_and_no_variable():
    relu = model_layers.Named(jax.nn.relu)
    x = jnp.ones((2, 3))
    assert relu.init(jax.random.key(0), x) == {}
    bare = jax.make_jaxpr(jax.nn.relu)(x)
    assert str(jax.make_jaxpr(lambda x: relu.apply({}, x))(x)) == str(bare)
