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
