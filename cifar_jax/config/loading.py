"""Configs: loading one, and checking it against the schema.

A config file is a Python file with `get_config(variant="")` that returns what `default()` returns,
changed in a few lines. `configs/default.py` is the shortest one.
"""

import pathlib
import runpy
import textwrap

import ml_collections
from ml_collections import config_dict

from cifar_jax.config import paths, renamed, rules
from cifar_jax.config.schema import SCHEMA, Field, fields
from cifar_jax.errors import ConfigError, nearest, one_line


def flatten(config, prefix=""):
    """A nested dict or ConfigDict as a flat dict: "dataset.name" -> value."""
    flat = {}
    for name in config:
        if not isinstance(name, str):
            raise ConfigError(f"config has no field {prefix}{name!r}: names are strings")
        value = config[name]
        if isinstance(value, (dict, ml_collections.ConfigDict)):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def default():
    """A ConfigDict with every field at its default; `check` refuses what does not belong in it."""

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


def load(path):
    """What get_config() of a config file returns, checked and with defaults filled in.

    Args:
        path: "FILE" or "FILE:VARIANT"; the variant is get_config's argument.
    Raises:
        ConfigError: no such file, or whatever the file raises, in one line.
    """
    config = call(path, "get_config")
    if not isinstance(config, (dict, ml_collections.ConfigDict)):
        raise ConfigError(
            f"{path}: get_config() returned {type(config).__name__}, not a ConfigDict"
        )
    return check(config)


def call(path, function):
    """What a function of a config file returns; for the arguments and errors see `load`."""
    file, _, variant = str(path).partition(":")
    if not pathlib.Path(file).is_file():
        raise ConfigError(f"no config file {file}")
    try:
        found = runpy.run_path(file).get(function)
        if found is None:
            raise ConfigError(f"{file} has no function {function}()")
        return found(variant) if variant else found()
    except ConfigError:
        raise
    except SyntaxError as error:
        where = f"{error.filename or file}, line {error.lineno}" if error.lineno else file
        raise ConfigError(f"{where}: {error.msg}") from error
    except (Exception, SystemExit) as error:  # the file is the user's code
        reason = one_line(error)
        raise ConfigError(f"{path}: {type(error).__name__}: {reason}") from error


def variant_of(variants, name):
    """The entry of a config file's table of variants; ConfigError, with the nearest name, where it has none."""
    if name not in variants:
        raise ConfigError(f"there is no variant {name!r}; {nearest(name, variants)}")
    return variants[name]


def check_name(name):
    """Raises ConfigError where `name` ("dataset.name") is no field."""
    known = fields()
    if name in renamed.FIELDS:
        raise ConfigError(f"config.{name} is now called {renamed.FIELDS[name]}")
    sections = {field.rsplit(".", 1)[0] for field in known if "." in field}
    if name not in known and name not in sections:
        raise ConfigError(f"config has no field `{name}`; {nearest(name, known)}")


def check(config):
    """The config with defaults filled in, as a plain nested dict's ConfigDict.

    Args:
        config: ConfigDict or nested dict.
    Raises:
        ConfigError: an unknown field (the nearest valid name is given), a wrong type, a value out
            of range, or fields that contradict each other.
        UserError: a URL for a path.
    """
    if not isinstance(config, (dict, ml_collections.ConfigDict)):
        raise ConfigError(f"a config is a dict of fields, not {config!r}")
    known = fields()
    given = flatten(config)
    complete = default()
    for name, value in given.items():
        check_name(name)
        field = known.get(name)
        if field is None:
            raise ConfigError(f"config.{name} is a section of fields, not a value: {value!r}")
        if value is None and field.optional:
            continue
        section, _, leaf = name.rpartition(".")
        (complete[section] if section else complete)[leaf] = _checked(name, value, field)
    rules.check_consistency(complete)
    return complete


def _checked(name, value, field):
    """The value in its field's type; ConfigError where it does not fit."""
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
    if new := renamed.VALUES.get((name, value)):
        raise ConfigError(f"config.{name} = {value!r} is now called {new!r}")
    if field.choices and value not in field.choices:
        raise ConfigError(f"config.{name} = {value!r}: {nearest(value, field.choices)}")
    if kind is float and not abs(value) < float("inf"):
        raise ConfigError(f"config.{name} = {value!r} is not a finite number")
    if field.low is not None and value < field.low:
        raise ConfigError(f"config.{name} = {value!r} is below its least value {field.low}")
    if field.high is not None and value > field.high:
        raise ConfigError(f"config.{name} = {value!r} is above its greatest value {field.high}")
    return value


def differing(old, new):
    """Fields in which two configs would give different results: [(name, old value, new value)].

    A field that one of them does not have yet is at its default there.
    """
    known = fields()
    defaults = {name: field.default for name, field in known.items()}
    # JSON has lists for tuples.
    old, new = (
        {name: tuple(value) if isinstance(value, list) else value for name, value in all_of.items()}
        for all_of in (defaults | renamed.of_record(flatten(each)) for each in (old, new))
    )
    return [
        (name, old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name) and (name not in known or known[name].affects_result)
    ]


def of_record(config):
    """`check` of a config that an earlier version recorded."""
    nested = {}
    for name, value in renamed.of_record(flatten(config)).items():
        section, _, leaf = name.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[leaf] = value
    return check(nested)


def describe():
    """Every field with its default and meaning, as text for `--help`."""
    lines = []
    for name, field in fields().items():
        indent = " " * 8
        doc = textwrap.fill(field.doc, 100, initial_indent=indent, subsequent_indent=indent)
        choices = f"   ({' | '.join(field.choices)})" if field.choices else ""
        lines.append(f"  --config.{name}={field.default!r}{choices}\n{doc}")
    return "\n".join(lines)
