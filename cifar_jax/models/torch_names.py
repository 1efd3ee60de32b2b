"""How PyTorch code names the layers of the models: a rename from our names for each convention.

Our own names, "stage1_block1.conv1.bn", need none.
"""

import re
from collections.abc import Callable
from typing import NamedTuple


class Convention(NamedTuple):
    """A way to name a model's layers."""

    name: str
    rename: Callable[[str], str]  # our name of a layer, its path joined by dots -> theirs


def convention(name, *rules):
    """Return the Convention that renames a layer by re.sub(pattern, replacement) for each rule in turn."""

    def rename(layer):
        for pattern, replacement in rules:
            layer = re.sub(pattern, replacement, layer)
        return layer

    return Convention(name, rename)


def _block_of_stage(match):
    return f"layer{match[1]}.{int(match[2]) - 1}"


RESNET = (
    (r"^stem\.conv$", "conv1"),
    (r"^stem\.bn$", "bn1"),
    (r"^stage(\d)_block(\d+)", _block_of_stage),
    (r"\.conv(\d)\.conv$", r".conv\1"),
    (r"\.conv(\d)\.bn$", r".bn\1"),
)
KUANGLIU_RESNET = convention(
    "kuangliu",
    *RESNET,
    (r"shortcut\.conv$", "shortcut.0"),
    (r"shortcut\.bn$", "shortcut.1"),
    ("^fc$", "linear"),
)
TORCHVISION_RESNET = convention(
    "torchvision",
    *RESNET,
    (r"shortcut\.conv$", "downsample.0"),
    (r"shortcut\.bn$", "downsample.1"),
)
KUANGLIU_PREACT_RESNET = convention(
    "kuangliu",
    ("^stem$", "conv1"),
    (r"^stage(\d)_block(\d+)", _block_of_stage),
    ("shortcut$", "shortcut.0"),
    ("^fc$", "linear"),
)


def _place_in_sequential(match):
    """Name branch2_conv2.bn b2.4: a convolution, batch norm and ReLU after the other; branch 4 begins with a pool."""
    branch, conv, layer = int(match[1]), int(match[2]), match[3]
    return f"b{branch}.{3 * (conv - 1) + (layer == 'bn') + (branch == 4)}"


KUANGLIU_GOOGLENET = convention(
    "kuangliu",
    (r"^stem\.conv$", "pre_layers.0"),
    (r"^stem\.bn$", "pre_layers.1"),
    (r"^inception(\d)(\w)", r"\2\1"),
    (r"branch(\d)_conv(\d)\.(conv|bn)$", _place_in_sequential),
    ("^fc$", "linear"),
)
TORCHVISION_GOOGLENET = convention(
    "torchvision",
    ("branch1_conv1", "branch1"),
    ("branch4_conv1", "branch4.1"),
    (r"branch(\d)_conv(\d)", lambda match: f"branch{match[1]}.{int(match[2]) - 1}"),
)
TORCHVISION_INCEPTION_V3 = convention(
    "torchvision",
    ("^conv_3b", "Conv2d_3b_1x1"),
    (r"^conv_(\w\w)", r"Conv2d_\1_3x3"),
    ("^mixed", "Mixed"),
    ("_double", "dbl"),
    ("branch7x7_3x3", "branch7x7x3"),
    (r"^auxiliary\.conv1x1", "auxiliary.conv0"),
    (r"^auxiliary\.conv5x5", "auxiliary.conv1"),
    ("^auxiliary", "AuxLogits"),
)


def _vgg16_features(layers_per_conv):
    """Return the rule that counts VGG-16's layers, `layers_per_conv` a convolution and one for a stage's pool."""

    def position(match):
        stage, conv = int(match[1]) - 1, int(match[2]) - 1
        before = layers_per_conv * (sum((2, 2, 3, 3, 3)[:stage]) + conv) + stage
        return f"features.{before + 1 if match[3] == '.bn' else before}"

    return r"^stage(\d)_conv(\d)(\.conv|\.bn)?$", position


KUANGLIU_VGG16_BN = convention(
    "kuangliu", _vgg16_features(layers_per_conv=3), ("^fc$", "classifier")
)
TORCHVISION_VGG16 = convention(
    "torchvision",
    _vgg16_features(layers_per_conv=2),
    ("^fc1$", "classifier.0"),
    ("^fc2$", "classifier.3"),
    ("^fc3$", "classifier.6"),
)
KUANGLIU_DENSENET = convention(
    "kuangliu",
    ("^stem$", "conv1"),
    (r"^block(\d)_layer(\d+)", lambda match: f"dense{match[1]}.{int(match[2]) - 1}"),
    (r"^transition(\d)", r"trans\1"),
    ("^fc$", "linear"),
)
TORCHVISION_DENSENET = convention(
    "torchvision",
    (r"\bbn", "norm"),
    (r"^stem\.(conv|norm)$", r"features.\g<1>0"),
    (r"^block(\d)_layer(\d+)", r"features.denseblock\1.denselayer\2"),
    (r"^transition(\d)", r"features.transition\1"),
    ("^norm$", "features.norm5"),
    ("^fc$", "classifier"),
)
KUANGLIU_MOBILENET_V2 = convention(
    "kuangliu",
    (r"^block(\d+)", lambda match: f"layers.{int(match[1]) - 1}"),
    (r"shortcut\.conv$", "shortcut.0"),
    (r"shortcut\.bn$", "shortcut.1"),
    (r"(^stem|expand)\.(conv|bn)$", r"\g<2>1"),
    (r"(^head|depthwise)\.(conv|bn)$", r"\g<2>2"),
    (r"project\.(conv|bn)$", r"\g<1>3"),
    ("^fc$", "linear"),
)
TORCHVISION_MOBILENET_V2 = convention(
    "torchvision",
    # The first block has no expand layer, so what follows it comes one earlier.
    (r"^block1\.depthwise", "features.1.conv.0"),
    (r"^block1\.project\.conv$", "features.1.conv.1"),
    (r"^block1\.project\.bn$", "features.1.conv.2"),
    (r"^block(\d+)", r"features.\1.conv"),
    (r"expand", "0"),
    (r"depthwise", "1"),
    (r"project\.conv$", "2"),
    (r"project\.bn$", "3"),
    ("^stem", "features.0"),
    ("^head", "features.18"),
    (r"\.conv$", ".0"),
    (r"\.bn$", ".1"),
    ("^fc$", "classifier.1"),
)
