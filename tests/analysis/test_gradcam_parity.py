"""Grad-CAM against PyTorch's automatic differentiation, with the twins of torch_models."""

import cases
import jax
import numpy as np
import pytest

pytest.importorskip("torch")

import torch  # noqa: E402
import torch_side  # noqa: E402
from quick_jit import quick_jit  # noqa: E402
from torch.overrides import TorchFunctionMode  # noqa: E402

from cifar_jax.analysis import gradcam, named_layers  # noqa: E402

pytestmark = pytest.mark.parity

# Model, layer here, and there: a module whose output it is, or None for the last ReLU that gives a map.
LAYERS = [
    ("basic_net", None, None),
    ("big_net", "relu_9", None),
    ("big_net_improved", None, None),
    ("attention_net", None, "attention3"),
    ("resnet18", None, None),
    ("resnet18", "stage3_block2", "layer3"),
    ("preact_resnet18", None, "layer4"),
    ("densenet121", None, None),
    ("googlenet", None, "b5"),
    ("mobilenet_v2_imagenet", None, "features.18"),
]


class MapsOfReLUs(TorchFunctionMode):
    """Keeps what ReLUs give, as functions and as modules, where it is a map."""

    def __init__(self):
        super().__init__()
        self.kept = []

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        output = function(*arguments, **(keywords or {}))
        if function in (torch.relu, torch.nn.functional.relu) and output.ndim == 4:
            self.kept.append(output)
        return output


def torch_maps(twin, images, module, classes):
    """(features [B, H, W, C], maps [B, H, W]) of NumPy, by hooks."""
    kept = []
    if module is not None:
        twin.get_submodule(module).register_forward_hook(lambda *call: kept.append(call[2]))
    with MapsOfReLUs() as of_relus:
        logits = twin(tensor(images))
    features = (kept or of_relus.kept)[-1]
    chosen = logits.argmax(1) if classes is None else torch.from_numpy(classes)
    (gradient,) = torch.autograd.grad(logits.gather(1, chosen[:, None]).sum(), features)
    weights = gradient.mean((2, 3), keepdim=True)
    maps = torch.relu((weights * features).sum(1))
    return features.detach().numpy().transpose(0, 2, 3, 1), maps.detach().numpy()


@pytest.mark.parametrize(("name", "layer", "module"), LAYERS)
def test_maps_are_pytorchs(name, layer, module):
    """In float64, where nothing but a mistake makes a difference."""
    model, variables, images = cases.ready(name, "float64")
    twin = twin_of(name, variables)
    with torch.no_grad():
        classes = twin(tensor(images)).argmax(1).numpy()
    classes[1:] = 4  # One image for what it is taken for, the others for what they are not.
    _, expected = torch_maps(twin, images, module, classes)
    with jax.enable_x64(True):
        run = quick_jit(lambda *arrays: gradcam.maps(model, *arrays, classes, layer))
        maps = jax.device_get(run(variables, images))
    assert_same(maps, expected)
    assert np.max(maps) > 0


@pytest.mark.parametrize(
    ("name", "layer"), [("basic_net", "conv2_relu"), ("big_net_improved", "relu_9")]
)
def test_activations_and_maps_of_the_predicted_class_are_pytorchs(name, layer):
    model, variables, images = cases.ready(name, "float64")
    expected = torch_maps(twin_of(name, variables), images, None, None)

    @quick_jit
    def run(variables, images):
        features = named_layers.activations(model, variables, images, layer)
        return features, gradcam.maps(model, variables, images)

    with jax.enable_x64(True):
        arrays = jax.device_get(run(variables, images))
    for one, other in zip(arrays, expected, strict=True):
        assert_same(one, other)


def tensor(images):
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())


def twin_of(name, variables):
    return torch_side.build(cases.Case(name), variables).eval()


def assert_same(array, expected):
    assert array.shape == expected.shape and array.dtype == np.float64
    np.testing.assert_allclose(array, expected, atol=1e-9 * np.max(np.abs(expected)))
