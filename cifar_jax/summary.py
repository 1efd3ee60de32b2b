"""Lists the models: parameters, memory and multiply-adds, and what the reports state of them.

  python -m cifar_jax.summary                   all models
  python -m cifar_jax.summary --model resnet18  its layers with the shapes of what they give
  python -m cifar_jax.summary --json            for machines: a list of objects

Memory is of float32, in MB of 10^6 bytes. Parameters: trainable ones. Activations: what a training step
of 128 images keeps for the backward pass. Multiply-adds: of the convolutions and matrix products of one
image's evaluation, without those with the zeros of the padding.
"""

import json
import sys
from typing import NamedTuple

from cifar_jax import command_line

BATCH = 128


class Reported(NamedTuple):
    """What a report states of a model's size."""

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

REMARKS = """\
Report 001's megabytes are two measures: a saved file, a little over 4 bytes a parameter (origin_net, modified_net,
resnet18), and 12 bytes a parameter (the others of Table IV). Its Table V has modified_net at 0.001194 MB: neither."""


def describe(name):
    """What is known of a model without running it, as JSON-able values.

    Returns:
        dict: `name`, `params`, `num_classes`, `input_shape` ([H, W, C]), `parameter_bytes`, `multiply_adds`
        (an image), `activation_bytes` (of a training step of `activation_batch` images), and `reported`
        (`params`, `megabytes`, `source`) or None.
    Raises:
        ConfigError: unknown model.
    """
    from cifar_jax import models
    from cifar_jax.models import cost

    entry = models.REGISTRY[name]
    params = models.count_params(name)
    return {
        "name": name,
        "params": params,
        "num_classes": entry.num_classes,
        "input_shape": list(entry.input_shape),
        "parameter_bytes": 4 * params,
        "multiply_adds": cost.multiply_adds(name),
        "activation_bytes": cost.activation_bytes(name, BATCH),
        "activation_batch": BATCH,
        "reported": REPORTED[name]._asdict() if name in REPORTED else None,
    }


def layers(name):
    """The table of a model's layers with the shapes of what they give for one image."""
    import flax.linen as nn
    import jax
    import jax.numpy as jnp

    from cifar_jax import models

    images = jnp.zeros((1, *models.REGISTRY[name].input_shape))
    console = {"width": 160, "force_terminal": sys.stdout.isatty()}
    return nn.tabulate(models.create(name), jax.random.key(0), console_kwargs=console)(images)


def print_table(descriptions):
    from rich.console import Console
    from rich.table import Table

    table = Table(caption=REMARKS, caption_justify="left", box=None, header_style="bold")
    table.add_column("model")
    for title in ("images", "classes", "parameters", "MB", "million\nmultiply-adds"):
        table.add_column(title, justify="right")
    table.add_column(f"activations\nof {BATCH}, MB", justify="right")
    for title in ("reported\nparameters", "reported\nMB"):
        table.add_column(title, justify="right")
    table.add_column("report")
    for each in descriptions:
        height, width, _ = each["input_shape"]
        reported = each["reported"] or {"params": None, "megabytes": None, "source": ""}
        table.add_row(
            each["name"],
            f"{height}x{width}",
            f"{each['num_classes']}",
            f"{each['params']:,}",
            f"{each['parameter_bytes'] / 1e6:.3f}",
            f"{each['multiply_adds'] / 1e6:,.2f}",
            f"{each['activation_bytes'] / 1e6:,.1f}",
            f"{reported['params']:,}" if reported["params"] else "",
            f"{reported['megabytes']:g}" if reported["megabytes"] else "",
            reported["source"],
        )
    console = Console()
    Console(width=max(console.width, 150)).print(table)


@command_line.guarded
def main(argv=None):
    """Runs a command line and returns its exit code."""
    parser = command_line.make_parser("summary", __doc__)
    parser.add_argument("--model", metavar="NAME", help="one model: its layers, or its object")
    parser.add_argument("--json", action="store_true", help="a list of objects")
    arguments = parser.parse_args(argv)
    import jax

    from cifar_jax import models

    jax.config.update("jax_platforms", "cpu")  # Nothing is run.
    if arguments.model:
        models.lookup(arguments.model)
    names = [arguments.model] if arguments.model else models.names()
    if arguments.json:
        print(json.dumps([describe(name) for name in names], indent=1))
    elif arguments.model:
        print(layers(arguments.model))
    else:
        print_table([describe(name) for name in names])


if __name__ == "__main__":
    sys.exit(main())
