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


FIRST = ["basic_net", "big_net", "resnet10", "mobilenet_v2", "googlenet"]  # of each layout of names


@pytest.mark.parametrize("name", tiered(models.names(), FIRST))
def test_there_and_back_under_every_convention(name):
    tree = cases.shapes(cases.Case(name))
    numbers = itertools.count()
    variables = jax.tree.map(
        lambda leaf: np.arange(leaf.size, dtype=np.float32).reshape(leaf.shape) + next(numbers),
        tree,
    )
    for convention in (*models.REGISTRY[name].torch_names, torch_weights.OURS):
        state_dict = models.to_torch(name, variables, convention.name)
        assert len(state_dict) == len(jax.tree.leaves(variables)), "two leaves with one name"
        assert_same(torch_weights.carry(name, tree, state_dict), variables)


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


@pytest.mark.parametrize(
    "wrap",
    [
        "_orig_mod.module.{}",  # torch.compile of DistributedDataParallel
        "module._orig_mod.{}",
        "module.module.{}",
        "state_dict.model._orig_mod.module.{}",
        "model.{}",
        "net.{}",
        "_fsdp_wrapped_module._checkpoint_wrapped_module.{}",
    ],
)
def test_wrappers_in_any_order(wrap):
    variables = drawn("basic_net")
    state_dict = models.to_torch("basic_net", variables)
    assert_same(
        models.from_torch("basic_net", {wrap.format(k): v for k, v in state_dict.items()}),
        variables,
    )


def test_parts_that_were_wrapped_alone():
    """As torch.compile of one block of a model does."""
    variables = drawn("resnet10")
    state_dict = models.to_torch("resnet10", variables)
    wrapped = {k.replace("layer2.", "layer2._orig_mod."): v for k, v in state_dict.items()}
    assert wrapped.keys() != state_dict.keys()
    assert_same(models.from_torch("resnet10", wrapped), variables)


def test_counters_beside_the_weights():
    variables = drawn("basic_net")
    averaged = {f"module.{k}": v for k, v in models.to_torch("basic_net", variables).items()}
    averaged |= {"n_averaged": np.int64(7), "module.conv1.total_ops": np.float64(3)}
    averaged |= {"module.bn.num_batches_tracked": np.zeros(1, np.int64)}
    assert_same(models.from_torch("basic_net", averaged), variables)


@pytest.mark.parametrize("holder", torch_weights.HOLDERS)
def test_a_checkpoint_that_holds_a_state_dict(holder):
    variables = drawn("basic_net")
    state_dict = {f"module.{k}": v for k, v in models.to_torch("basic_net", variables).items()}
    checkpoint = {"epoch": 3, "optimizer": {"state": {}}, holder: state_dict}
    assert_same(models.from_torch("basic_net", checkpoint), variables)


def test_two_entries_of_one_name_are_refused():
    state_dict = models.to_torch("basic_net", drawn("basic_net"))
    state_dict["module.fc3.bias"] = state_dict["fc3.bias"]
    with pytest.raises(ConfigError, match=r"fc3.bias and module.fc3.bias are both fc3.bias"):
        models.from_torch("basic_net", state_dict)


@pytest.mark.thorough
@pytest.mark.parametrize("name", models.names())
def test_no_layer_is_called_like_a_wrapper_and_none_is_a_single_number(name):
    shapes = registry.shapes(name)
    assert all(leaf.ndim for leaf in jax.tree.leaves(shapes))
    for convention in torch_weights._conventions(name):
        _, table = torch_weights._table(shapes, convention)
        parts = {part for key in table for part in key.split(".")}
        assert not parts & (torch_weights.WRAPPERS | set(torch_weights.COUNTERS))


@pytest.mark.parametrize("odd", ["text", "complex", "void"])
def test_what_is_no_number_is_refused(odd):
    state_dict = models.to_torch("basic_net", drawn("basic_net"))
    types = {"text": "U3", "complex": np.complex64, "void": "V2"}
    state_dict["fc3.bias"] = np.zeros(10, types[odd])
    with pytest.raises(ConfigError, match=r"fc3.bias is of type .*, not of real numbers"):
        models.from_torch("basic_net", state_dict)


class Tensor:
    """A tensor of PyTorch as NumPy sees it: one of bfloat16, or with a gradient, does not become an array."""

    def __init__(self, value, dtype="torch.float32", detached=False):
        self.value, self.dtype, self.ndim, self.detached = value, dtype, value.ndim, detached

    def detach(self):
        return Tensor(self.value, self.dtype, detached=True)

    def cpu(self):
        return self

    def float(self):
        return Tensor(self.value, detached=self.detached)

    def __array__(self, dtype=None, copy=None):
        if not self.detached or self.dtype == "torch.bfloat16":
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.value


@pytest.mark.parametrize("dtype", ["torch.float32", "torch.bfloat16"])
def test_tensors_of_bfloat16_or_with_a_gradient(dtype):
    variables = drawn("basic_net")
    state_dict = models.to_torch("basic_net", variables)
    tensors = {key: Tensor(value, dtype) for key, value in state_dict.items()}
    assert_same(models.from_torch("basic_net", tensors), variables)


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
