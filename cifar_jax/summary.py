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

from cifar_jax.console import endings, flags, tables

REMARKS = """\
Report 001's megabytes are two measures: a saved file, a little over 4 bytes a parameter (origin_net, modified_net,
resnet18), and 12 bytes a parameter (the others of Table IV). Its Table V has modified_net at 0.001194 MB: neither."""


def layers(name):
    """Draw the table of a model's layers with the shapes of what they give for one image."""
    import flax.linen as nn
    import jax
    import jax.numpy as jnp

    from cifar_jax import models

    images = jnp.zeros((1, *models.lookup(name).input_shape))
    console = {"width": 160, "force_terminal": sys.stdout.isatty()}
    return nn.tabulate(models.create(name), jax.random.key(0), console_kwargs=console)(images)


def print_table(descriptions):
    from rich.console import Console

    from cifar_jax.models import cost

    columns = (
        *("model", "images", "classes", "parameters", "MB", "million\nmultiply-adds"),
        f"activations\nof {cost.BATCH}, MB",
        *("reported\nparameters", "reported\nMB", "report"),
    )
    rows = []
    for each in descriptions:
        height, width, _ = each["input_shape"]
        stated = each["reported"] or {"params": None, "megabytes": None, "source": ""}
        row = (
            each["name"],
            f"{height}x{width}",
            f"{each['num_classes']}",
            f"{each['params']:,}",
            f"{each['parameter_bytes'] / 1e6:.3f}",
            f"{each['multiply_adds'] / 1e6:,.2f}",
            f"{each['activation_bytes'] / 1e6:,.1f}",
            f"{stated['params']:,}" if stated["params"] else "",
            f"{stated['megabytes']:g}" if stated["megabytes"] else "",
            stated["source"],
        )
        rows.append(row)
    table = tables.Table("", columns, rows, left=(0, 9), caption=REMARKS)
    Console(width=max(Console().width, 150)).print(tables.to_rich(table))


@endings.guarded
def main(argv=None):
    """Run a command line and return its exit code."""
    parser = flags.make_parser("summary", __doc__)
    parser.add_argument("--model", metavar="NAME", help="one model: its layers, or its object")
    parser.add_argument("--json", action="store_true", help="a list of objects")
    arguments = parser.parse_args(argv)
    import jax

    from cifar_jax import models
    from cifar_jax.models import reported

    jax.config.update("jax_platforms", "cpu")  # Nothing is run.
    names = [arguments.model] if arguments.model else models.names()
    if arguments.json:
        print(json.dumps([reported.describe(name) for name in names], indent=1))
    elif arguments.model:
        print(layers(arguments.model))
    else:
        print_table([reported.describe(name) for name in names])


if __name__ == "__main__":
    sys.exit(main())
