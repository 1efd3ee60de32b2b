"""Figures and configs in words, for the templates."""

import shlex

from cifar_jax import config as config_lib
from cifar_jax.config.schema import fields
from cifar_jax.console.tables import Table


def command(module, workdir, *options):
    """Write a command line to paste."""
    return shlex.join(["python", "-m", f"cifar_jax.{module}", "--workdir", str(workdir), *options])


def duration(seconds):
    """Write "25.6 s", "12 min 5 s" or "3 h 20 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"


def known(summary, key, form):
    """Write a figure of summary.json in words; a dash where it is missing."""
    value = summary.get(key)
    return "–" if value is None else form(value)


def value(anything):
    """Write a config's value in words."""
    if isinstance(anything, list | tuple):
        return ", ".join(map(str, anything)) or "none"
    if isinstance(anything, bool):
        return "yes" if anything else "no"
    return "none" if anything is None else str(anything) or "–"


def affecting(config):
    """Return name -> value of the fields that decide a run's result."""
    values = config_lib.flatten(config)
    return {name: values[name] for name, field in fields().items() if field.affects_result}


def config_table(config):
    """Tabulate the fields of a config that differ from the defaults."""
    known = fields()
    rows = [
        (name, value(each), value(known[name].default))
        for name, each in affecting(config).items()
        if each != known[name].default
    ]
    return Table("Config", ("field", "value", "default"), rows, (0, 1, 2))
