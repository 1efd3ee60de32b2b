"""Sizes of the models, ours and those that the reports state."""

from typing import NamedTuple

from cifar_jax.models import cost, registry


class Reported(NamedTuple):
    """A model's size as a report states it."""

    params: int
    megabytes: float | None
    source: str


REPORTED = {
    "origin_net": Reported(48_252, 0.19765, "001, Table IV"),
    "modified_net": Reported(35_730, 0.153282, "001, Tables VIII and IX"),
    "resnet18_imagenet": Reported(11_689_512, 46.839572, "001, Table IV"),
    "densenet121_imagenet": Reported(7_978_856, 95.75856, "001, Table IV"),
    "vgg16": Reported(138_357_544, 1660.302816, "001, Table IV"),
    "inception_v3": Reported(27_161_264, 325.947456, "001, Table IV"),
    "googlenet_imagenet": Reported(6_624_904, 79.511136, "001, Table IV"),
    "mobilenet_v2_imagenet": Reported(2_236_682, 26.852472, "001, Table IV"),
    "basic_net": Reported(62_006, None, "003, Table 3"),
    "wide_net": Reported(2_348_030, None, "003, Table 6"),
    "gap_net": Reported(413_566, None, "003, Table 9"),
    "attention_net": Reported(521_646, None, "003, Table 12"),
    "resnet18": Reported(11_173_962, None, "003, Tables 14 to 18"),
    "resnet10": Reported(4_903_242, None, "003, Tables 20 and 22"),
    "resnet18_dw": Reported(722_186, None, "003, Table 25"),
}


def describe(name):
    """Describe a model without running it, as JSON-able values.

    Returns:
        dict: that of cost.describe, `num_classes`, `input_shape` ([H, W, C]), and `reported` (`params`, `megabytes`,
        `source`) or None.
    Raises:
        ConfigError: unknown model.
    """
    entry = registry.lookup(name)
    return {
        **cost.describe(name),
        "num_classes": entry.num_classes,
        "input_shape": list(entry.input_shape),
        "reported": REPORTED[name]._asdict() if name in REPORTED else None,
    }
