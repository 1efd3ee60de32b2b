"""The output of a layer by its name."""

import difflib

import flax.linen as nn
from flax.traverse_util import flatten_dict

from cifar_jax.errors import UserError


def activations(model, variables, images, layer):
    """What a layer gives for images, in evaluation mode.

    Args:
        model: Flax module of the registry.
        variables: of the model.
        images: normalised, float [B, H, W, C].
        layer: a submodule's name, "/" between the parts of a nested one's; of big_net also "relu_9", the
            ReLU of the last convolution, and "relu_10", that of the layer with 64 units.
    Returns:
        float [B, ...]; of a layer that is used several times, its last use.
    Raises:
        UserError: the model has no such layer; names the nearest.
    """
    _, found = model.apply(
        variables, images, train=False, capture_intermediates=True, mutable=["intermediates"]
    )
    outputs = {
        path.removesuffix("/__call__"): calls[-1]
        for path, calls in flatten_dict(found["intermediates"], sep="/").items()
        if path.endswith("/__call__") and hasattr(calls[-1], "shape")
    }
    if type(model).__name__ == "BigNet":
        outputs["relu_9"] = nn.relu(outputs["conv3"])
        outputs["relu_10"] = nn.relu(outputs["bn" if model.batch_norm else "fc1"])
    if layer not in outputs:
        near = difflib.get_close_matches(layer, outputs, n=3) or list(outputs)[-8:]
        raise UserError(f"the model has no layer {layer!r}; did you mean {' or '.join(near)}?")
    return outputs[layer]
