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


def substitutions(*rules):
    """A rename that applies re.sub(pattern, replacement) for each rule in turn."""

    def rename(layer):
        for pattern, replacement in rules:
            layer = re.sub(pattern, replacement, layer)
        return layer

    return rename


def _block_of_stage(match):
    return f"layer{match[1]}.{int(match[2]) - 1}"


RESNET = (
    (r"^stem\.conv$", "conv1"),
    (r"^stem\.bn$", "bn1"),
    (r"^stage(\d)_block(\d+)", _block_of_stage),
    (r"\.conv(\d)\.conv$", r".conv\1"),
    (r"\.conv(\d)\.bn$", r".bn\1"),
)
KUANGLIU_RESNET = Convention(
    "kuangliu",
    substitutions(
        *RESNET,
        (r"shortcut\.conv$", "shortcut.0"),
        (r"shortcut\.bn$", "shortcut.1"),
        ("^fc$", "linear"),
    ),
)
TORCHVISION_RESNET = Convention(
    "torchvision",
    substitutions(
        *RESNET,
        (r"shortcut\.conv$", "downsample.0"),
        (r"shortcut\.bn$", "downsample.1"),
    ),
)
KUANGLIU_PREACT_RESNET = Convention(
    "kuangliu",
    substitutions(
        ("^stem$", "conv1"),
        (r"^stage(\d)_block(\d+)", _block_of_stage),
        ("shortcut$", "shortcut.0"),
        ("^fc$", "linear"),
    ),
)


def _place_in_sequential(match):
    """branch2_conv2.bn -> b2.4: a convolution, batch norm and ReLU after the other; branch 4 begins with a pool."""
    branch, conv, layer = int(match[1]), int(match[2]), match[3]
    return f"b{branch}.{3 * (conv - 1) + (layer == 'bn') + (branch == 4)}"


KUANGLIU_GOOGLENET = Convention(
    "kuangliu",
    substitutions(
        (r"^stem\.conv$", "pre_layers.0"),
        (r"^stem\.bn$", "pre_layers.1"),
        (r"^inception(\d)(\w)", r"\2\1"),
        (r"branch(\d)_conv(\d)\.(conv|bn)$", _place_in_sequential),
        ("^fc$", "linear"),
    ),
)
TORCHVISION_GOOGLENET = Convention(
    "torchvision",
    substitutions(
        ("branch1_conv1", "branch1"),
        ("branch4_conv1", "branch4.1"),
        (r"branch(\d)_conv(\d)", lambda match: f"branch{match[1]}.{int(match[2]) - 1}"),
    ),
)
TORCHVISION_INCEPTION_V3 = Convention(
    "torchvision",
    substitutions(
        ("^conv_3b", "Conv2d_3b_1x1"),
        (r"^conv_(\w\w)", r"Conv2d_\1_3x3"),
        ("^mixed", "Mixed"),
        ("_double", "dbl"),
        ("branch7x7_3x3", "branch7x7x3"),
        (r"^auxiliary\.conv1x1", "auxiliary.conv0"),
        (r"^auxiliary\.conv5x5", "auxiliary.conv1"),
        ("^auxiliary", "AuxLogits"),
    ),
)
