"""How a config shows itself in a notebook: its fields that are not at their defaults, not all of them."""

import sys

from cifar_jax.config.schema import fields


def show_shortly():
    """Let IPython, where it runs, show our configs in a line; what else is a ConfigDict is shown as before."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None:
        plain = shell.display_formatter.formatters["text/plain"]
        name = "ml_collections.config_dict.config_dict", "ConfigDict"
        plain.for_type_by_name(*name, lambda config, printer, cycle: printer.text(shortly(config)))


def shortly(config):
    """Write a config in a line; one that is not ours, or a part of one, as it is."""
    from cifar_jax.config import loading  # which imports this

    if loading.flatten(config).keys() != fields().keys():
        return repr(config)
    differing = ", ".join(loading.changes(config)) or "all fields at their defaults"
    return f"<config of {config.model.name} on {config.dataset.name}: {differing}>"
