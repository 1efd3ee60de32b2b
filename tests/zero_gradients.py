"""Parameters that the loss cannot depend on in training, by model: every other one must get a gradient.

  * A bias whose layer goes straight into batch norm: the norm takes the mean away again. So does it
    with the bias of a depthwise convolution before a pointwise one before batch norm.
  * MobileNetV2's blocks end in a batch norm without ReLU, and their sums are seen by 1x1 convolutions before
    batch norm only: what that last bias adds to a whole channel, the norms behind take away again.
  * The bias of an attention's key: for a query it adds the same to the scores of all keys, which the
    softmax over keys does not see.

In floating point what remains is rounding, so the tests hold it against the layer's other gradients.
"""


def _biases(*layers):
    return {(*layer.split("."), "bias") for layer in layers}


ZERO_GRADIENTS = {
    "plain_cnn": _biases(*(f"conv{layer}" for layer in range(1, 7))),
    "modified_net": _biases("conv1", "conv2", "conv3"),
    "modified_net_separable": _biases(
        *(f"conv{layer}_{half}" for layer in (1, 2, 3) for half in ("depthwise", "pointwise")),
        "fc1",
        "fc2",
    ),
    "gap_net": _biases("conv1", "conv2", "conv3"),
    "attention_net": _biases(
        "conv1", "conv2", "conv3", "attention1.key", "attention2.key", "attention3.key"
    ),
    "big_net_improved": _biases("fc1"),
    "googlenet": _biases(
        "stem.conv",
        *(
            f"inception{block}.branch{branch}.conv"
            for block in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
            for branch in (
                *("1_conv1", "2_conv1", "2_conv2"),
                *("3_conv1", "3_conv2", "3_conv3", "4_conv1"),
            )
        ),
    ),
    "vgg16_bn": _biases(
        *(
            f"stage{stage}_conv{conv}.conv"
            for stage, convs in enumerate((2, 2, 3, 3, 3), start=1)
            for conv in range(1, convs + 1)
        )
    ),
    "mobilenet_v2": _biases(
        *(f"block{block}.project.bn" for block in range(1, 18)),
        *(f"block{block}.shortcut.bn" for block in (1, 2, 11, 17)),
    ),
    "mobilenet_v2_imagenet": _biases(*(f"block{block}.project.bn" for block in range(1, 18))),
}


def has_zero_gradient(model, path):
    """Whether the parameter at `path`, a tuple of names, is one of those."""
    return tuple(path) in ZERO_GRADIENTS.get(model, ())


def weight_beside(path, leaves):
    """The path of the kernel, or scale, of the layer that the parameter at `path` belongs to."""
    return next((*path[:-1], name) for name in ("kernel", "scale") if (*path[:-1], name) in leaves)
