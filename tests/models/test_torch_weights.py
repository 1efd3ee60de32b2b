"""State dicts of arrays to variables and back, without PyTorch; with it, logits are compared in the parity tests."""

import itertools
import subprocess
import sys

import cases
import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiers import tiered

from cifar_jax import models
from cifar_jax.errors import ConfigError
from cifar_jax.models import registry, torch_weights


def drawn(name):
    variables = cases.draw(registry.shapes(name))
    return jax.tree.map(lambda leaf: leaf.astype(np.float32), variables)


def assert_same(ours, theirs):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


LARGE = "vgg16"  # a hundred million numbers


@pytest.mark.parametrize(
    "name", tiered(models.names(), [name for name in models.names() if name != LARGE])
)
def test_there_and_back_under_every_convention(name):
    numbers = itertools.count()  # Quicker than drawing the hundred million numbers of vgg16.
    variables = jax.tree.map(
        lambda leaf: np.arange(leaf.size, dtype=np.float32).reshape(leaf.shape) + next(numbers),
        registry.shapes(name),
    )
    for convention in (*models.REGISTRY[name].torch_names, torch_weights.OURS):
        state_dict = models.to_torch(name, variables, convention.name)
        assert len(state_dict) == len(jax.tree.leaves(variables)), "two leaves with one name"
        assert_same(models.from_torch(name, state_dict), variables)


@pytest.mark.parametrize(
    ("model", "names", "key", "path"),
    [
        ("resnet18", "kuangliu", "layer2.0.shortcut.0.weight", "stage2_block1.shortcut.conv.kernel"),
        ("resnet18", "torchvision", "layer2.0.downsample.1.weight", "stage2_block1.shortcut.bn.scale"),
        ("resnet18", "torchvision", "fc.bias", "fc.bias"),
        ("resnet50", "kuangliu", "layer4.2.conv3.weight", "stage4_block3.conv3.conv.kernel"),
        ("resnet18_imagenet", "torchvision", "bn1.running_var", "stem.bn.var"),
        ("basic_net", "cifar_jax", "conv1.weight", "conv1.kernel"),
    ],
)  # fmt: skip
def test_names_are_those_of_pytorch_code(model, names, key, path):
    variables = drawn(model)
    value = variables["batch_stats" if path.endswith(".var") else "params"]
    for part in path.split("."):
        value = value[part]
    theirs = models.to_torch(model, variables, names)[key]
    assert theirs.size == value.size
    order = (3, 2, 0, 1) if value.ndim == 4 else None
    np.testing.assert_array_equal(theirs, value.transpose(order))


def test_wrappers_and_counters_are_passed_over():
    variables = drawn("resnet10")
    state_dict = models.to_torch("resnet10", variables)
    wrapped = {f"module.{key}": value for key, value in state_dict.items()}
    wrapped["module.bn1.num_batches_tracked"] = np.int64(7)
    assert_same(models.from_torch("resnet10", wrapped), variables)


def test_half_precision_becomes_float32_and_float64_stays():
    state_dict = models.to_torch("basic_net", drawn("basic_net"))
    for given_type, kept in [(np.float16, np.float32), (np.float64, np.float64)]:
        arrays = {key: value.astype(given_type) for key, value in state_dict.items()}
        variables = models.from_torch("basic_net", arrays)
        assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype(kept)}


def test_every_difference_is_listed_by_name():
    state_dict = models.to_torch("resnet10", drawn("resnet10"))
    del state_dict["layer1.0.bn1.running_mean"], state_dict["conv1.weight"]
    state_dict["layer9.weight"] = np.zeros(3)
    state_dict["linear.weight"] = np.zeros((100, 512))
    with pytest.raises(ConfigError) as caught:
        models.from_torch("resnet10", state_dict)
    missing, unknown, shape = str(caught.value).splitlines()[1:]
    assert "missing" in missing and "layer1.0.bn1.running_mean" in missing
    assert "conv1.weight" in missing and missing.count(",") == 1
    assert unknown.split() == ["unknown:", "layer9.weight"]
    assert shape.strip() == "linear.weight has shape (100, 512), not (10, 512)"


def test_number_of_classes_may_differ():
    hundred = registry.shapes("resnet10", 100)
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), hundred)
    state_dict = models.to_torch("resnet10", zeros)
    assert state_dict["linear.weight"].shape == (100, 512)
    assert_same(models.from_torch("resnet10", state_dict, 100), zeros)
    with pytest.raises(ConfigError, match=r"linear.weight has shape \(100, 512\)"):
        models.from_torch("resnet10", state_dict)


def test_names_that_a_model_does_not_have():
    with pytest.raises(ConfigError, match="'torchvision', but of cifar_jax"):
        models.to_torch("basic_net", drawn("basic_net"), "torchvision")
    with pytest.raises(ConfigError, match="resnet18"):
        models.from_torch("resnet81", {})


def test_an_empty_state_dict_misses_everything():
    with pytest.raises(ConfigError, match=r"missing: .*fc3.bias"):
        models.from_torch("basic_net", {})


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.integers(1, 6))
def test_flattened_layers_keep_their_meaning(height, width, channels, features):
    """A linear layer after PyTorch's flattening of [C, H, W] gives what ours gives after [H, W, C]."""
    rng = np.random.default_rng(height * 1000 + width * 100 + channels * 10 + features)
    image = rng.normal(size=(height, width, channels))
    weight = rng.normal(size=(features, channels * height * width))
    theirs = weight @ image.transpose(2, 0, 1).ravel()
    kernel = torch_weights._from_torch_layout(weight, image.shape)
    np.testing.assert_allclose(image.ravel() @ kernel, theirs, atol=1e-12)
    np.testing.assert_array_equal(torch_weights._to_torch_layout(kernel, image.shape), weight)


def test_torch_is_not_imported():
    """Neither by the package nor by carrying weights."""
    code = (
        "import sys; sys.modules['torch'] = None\n"  # An import of it raises.
        "from cifar_jax import models, weights, summary\n"
        "shapes = models.registry.shapes('basic_net')\n"
        "import jax, numpy as np\n"
        "zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape), shapes)\n"
        "models.from_torch('basic_net', models.to_torch('basic_net', zeros))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
