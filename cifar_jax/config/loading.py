"""Configs: loading one, and checking it against the schema.

A config file is a Python file with `get_config(variant="")` that returns what `default()` returns,
changed in a few lines. `configs/default.py` is the shortest one.
"""

import dataclasses
import os
import runpy
import textwrap
from collections.abc import Collection, Mapping
from typing import Any, TypeAlias, TypeVar

import ml_collections
from ml_collections import config_dict

from cifar_jax import plugins
from cifar_jax.config import named, notebooks, paths, rules, words
from cifar_jax.config.schema import SCHEMA, Field, fields
from cifar_jax.errors import ConfigError, nearest

T = TypeVar("T")
Config: TypeAlias = dict[str, Any] | ml_collections.ConfigDict  # nested
# Earlier names of fields and values, as records have them and people type them: today's, None for what is gone.
RENAMED = {
    "optimizer.decay": "optimizer.weight_decay_mode",
    "schedule.mode": None,
    "steps_per_call": None,
}
RENAMED_VALUES = {("schedule.name", "piecewise"): "step"}


notebooks.show_shortly()


def flatten(config: Config, prefix: str = "") -> dict[str, Any]:
    """Flatten a nested dict or ConfigDict: "dataset.name" -> value."""
    flat: dict[str, Any] = {}
    for name in config:
        if not isinstance(name, str):
            raise ConfigError(f"config has no field {prefix}{name!r}: names are strings")
        value = config[name]
        if isinstance(value, (dict, ml_collections.ConfigDict)):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def default() -> ml_collections.ConfigDict:
    """Return a ConfigDict with every field at its default; `check` refuses what does not belong in it."""

    def build(schema):
        return {
            name: build(entry)
            if not isinstance(entry, Field)
            else config_dict.placeholder(entry.kind)
            if entry.default is None
            else entry.default
            for name, entry in schema.items()
        }

    return ml_collections.ConfigDict(build(SCHEMA))


def load(path: str | os.PathLike[str]) -> ml_collections.ConfigDict:
    """Load what get_config() of a config file returns, checked and with defaults filled in.

    Args:
        path: "FILE", or the "NAME" of one that comes with the package, such as "quickstart"; both also with
            ":VARIANT", which is get_config's argument.
    Raises:
        ConfigError: no such file or name, or whatever the file raises, in one line.
    """
    config = call(path, "get_config")
    if not isinstance(config, (dict, ml_collections.ConfigDict)):
        raise ConfigError(
            f"{path}: get_config() returned {type(config).__name__}, not a ConfigDict"
        )
    return check(config)


def call(path: str | os.PathLike[str], function: str) -> Any:
    """Call a function of a config file; for the arguments and errors see `load`."""
    given, _, variant = str(path).partition(":")
    file = named.find(given, sweep=function == "get_sweep")
    with plugins.importing(file):
        called = runpy.run_path(file).get(function)
        if called is None:
            raise ConfigError(f"{file} has no function {function}()")
        return called(variant) if variant else called()


def variant_of(variants: Mapping[str, T], name: str) -> T:
    """Return the entry of a config file's table of variants; ConfigError, with the nearest name, where it has none."""
    if name not in variants:
        raise ConfigError(f"there is no variant {name!r}; {nearest(name, variants)}")
    return variants[name]


def check_name(name: str) -> None:
    """Raise ConfigError where `name` ("dataset.name") is no field."""
    known = fields()
    if name in RENAMED:
        new = RENAMED[name]
        raise ConfigError(
            f"config.{name} is {f'now called {new}' if new else 'gone: leave it out'}"
        )
    sections = {field.rsplit(".", 1)[0] for field in known if "." in field}
    if name not in known and name not in sections:
        meant = words.field_meant(name)
        hint = f"did you mean `{meant}`?" if meant else nearest(name, known)
        raise ConfigError(f"config has no field `{name}`; {hint}")


def check(config: Config) -> ml_collections.ConfigDict:
    """Return the config with defaults filled in, as a plain nested dict's ConfigDict.

    Args:
        config: ConfigDict or nested dict.
    Raises:
        ConfigError: an unknown field (the nearest valid name is given), a wrong type, a value out
            of range, or fields that contradict each other.
        UserError: a URL for a path.
    """
    if not isinstance(config, (dict, ml_collections.ConfigDict)):
        raise ConfigError(f"a config is a dict of fields, not {config!r}")
    return _from_flat(flatten(config))


def of_record(config: Config, noted: Collection[str] = ()) -> ml_collections.ConfigDict:
    """Check a config that an earlier version recorded.

    Args:
        config: dict.
        noted: fields whose values are names of plugins', which need not be there.
    """
    return _from_flat(_by_todays_names(config), noted)


def _from_flat(flat, noted=()):
    """Check a flat config and fill in the defaults; the fields in `noted` may have any name."""
    known, complete = fields(), default()
    for name, value in flat.items():
        field = known.get(name)
        if field is None:
            check_name(name)
            raise ConfigError(f"config.{name} is a section of fields, not a value: {value!r}")
        if value is None and field.optional:
            continue
        section, _, leaf = name.rpartition(".")
        (complete[section] if section else complete)[leaf] = _checked(
            name, value, dataclasses.replace(field, choices=()) if name in noted else field
        )
    rules.check_consistency(complete)
    return complete


def _checked(name, value, field):
    """Return the value in its field's type; ConfigError where it does not fit."""
    if field.kind is tuple and isinstance(value, (tuple, list)):
        return tuple(
            _one_checked(f"{name}[{i}]", x, field, field.element) for i, x in enumerate(value)
        )
    return _one_checked(name, value, field, field.kind)


def _one_checked(name, value, field, kind):
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ConfigError(
            f"config.{name} takes a value of type {kind.__name__}, not {value!r} "
            f"({type(value).__name__})"
        )
    if field.path:
        paths.local(value)
    if new := RENAMED_VALUES.get((name, value)):
        raise ConfigError(f"config.{name} = {value!r} is now called {new!r}")
    prefixed = field.prefix and value.startswith(field.prefix)
    if field.choices and value not in field.choices and not prefixed and not _is_added(name, value):
        raise ConfigError(
            f"config.{name} = {value!r}: {nearest(value, (*field.choices, *plugins.names(name)))}"
        )
    if kind is float and not abs(value) < float("inf"):
        raise ConfigError(f"config.{name} = {value!r} is not a finite number")
    if field.low is not None and value < field.low:
        raise ConfigError(f"config.{name} = {value!r} is below its least value {field.low}")
    if field.high is not None and value > field.high:
        raise ConfigError(f"config.{name} = {value!r} is above its greatest value {field.high}")
    return value


def _is_added(name, value):
    return name in plugins.KINDS and plugins.has(plugins.KINDS[name], value)


def differing(old: Config, new: Config) -> list[tuple[str, Any, Any]]:
    """List the fields in which two configs would give different results: [(name, old value, new value)].

    A field that one of them does not have yet is at its default there.
    """
    known = fields()
    defaults = {name: field.default for name, field in known.items()}
    # JSON has lists for tuples.
    old, new = (
        {name: tuple(value) if isinstance(value, list) else value for name, value in all_of.items()}
        for all_of in (defaults | _by_todays_names(each) for each in (old, new))
    )
    return [
        (name, old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name) and (name not in known or known[name].affects_result)
    ]


def _by_todays_names(config):
    """Flatten a config of any version, with the fields and values called as they are today."""
    flat = {RENAMED.get(name, name): value for name, value in flatten(config).items()}
    flat.pop(None, None)
    for (name, old), new in RENAMED_VALUES.items():
        if flat.get(name) == old:
            flat[name] = new
    # Milestones went with what was called `step`, which takes none today.
    if flat.get("schedule.name") == "step" and flat.get("schedule.milestones"):
        flat["schedule.name"] = "multistep"
    return flat


def changes(config: Config) -> list[str]:
    """List the fields that decide the result and are not at their default, such as ["batch_size=64"]."""
    return [f"{name}={new}" for name, _, new in differing({}, config)]


def describe() -> str:
    """Describe every field with its default and meaning, for `--help`."""
    lines = []
    for name, field in fields().items():
        indent = " " * 8
        doc = textwrap.fill(field.doc, 100, initial_indent=indent, subsequent_indent=indent)
        choices = f"   ({' | '.join(field.choices)})" if field.choices else ""
        lines.append(f"  --config.{name}={field.default!r}{choices}\n{doc}")
    return "\n".join(lines)
