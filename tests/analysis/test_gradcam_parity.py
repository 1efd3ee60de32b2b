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
        logits = twin(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
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
    given = np.arange(3, 3 + len(images)) % 10
    twin = torch_side.build(cases.Case(name), variables).eval()

    @quick_jit
    def ours(variables, images):
        shapes = named_layers.layers(model, variables, images.shape)
        of_layer = layer or gradcam.default_layer(shapes)
        return (
            named_layers.activations(model, variables, images, of_layer),
            gradcam.maps(model, variables, images, None, layer),
            gradcam.maps(model, variables, images, given, layer),
        )

    with jax.enable_x64(True):
        features, predicted, of_given = jax.device_get(ours(variables, images))
    for classes, found in ((None, predicted), (given, of_given)):
        their_features, theirs = torch_maps(twin, images, module, classes)
        for one, other in ((features, their_features), (found, theirs)):
            assert one.shape == other.shape and one.dtype == np.float64
            np.testing.assert_allclose(one, other, atol=1e-9 * np.max(np.abs(other)))
    assert np.max(predicted) > 0
