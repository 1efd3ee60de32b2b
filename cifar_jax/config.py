"""Every field of a config: its default, its type and what it means; and the check of a config against it.

A config file is a Python file with `get_config(variant="")` that returns what `default()` returns,
changed in a few lines. `configs/default.py` is the shortest one.
"""

import dataclasses
import difflib
import pathlib
import runpy
import textwrap
from typing import Any

import ml_collections
from ml_collections import config_dict

from cifar_jax.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Field:
    """One field. `kind` is its type, `optional` lets it be None, `low` and `high` are inclusive bounds."""

    default: Any
    doc: str
    kind: type = None
    choices: tuple = ()
    low: float | None = None
    high: float | None = None
    optional: bool = False
    affects_result: bool = True  # False: a run may be continued with another value

    def __post_init__(self):
        if self.kind is None:
            object.__setattr__(self, "kind", type(self.default))


SCHEMA = {
    "seed": Field(0, "Seed of initialisation, data order, augmentation and dropout.", low=0, high=2**31 - 1),
    "total_epochs": Field(20, "Passes over the training images.", low=1, high=100_000),
    "batch_size": Field(128, "Images per training step, over all devices; the rest of an epoch that fills "
                             "no batch is left out (other images each epoch).", low=1),
    "eval_batch_size": Field(256, "Images per evaluation step; every image counts once.", low=1),
    "dtype": Field("float32", "Type of the computation; parameters and statistics stay float32.",
                   choices=("float32", "bfloat16")),
    "selection": Field("validation", "Which parameters are the result: `validation` = the best checkpoint by "
                                     "checkpoint.monitor, `last` = those of the last step.",
                       choices=("validation", "last")),
    "log_every_steps": Field(100, "Steps between two lines of metrics, and between two looks at signals.", low=1,
                             affects_result=False),
    "steps_per_call": Field("auto", "How the steps of a log interval run: `loop` = a Python loop over one compiled "
                                    "step, `scan` = one compiled lax.scan, `auto` = loop on the CPU (convolutions "
                                    "in a scan run on one thread there), scan elsewhere.",
                            choices=("auto", "loop", "scan"), affects_result=False),
    "compilation_cache": Field("auto", "Folder of XLA's compiled programs: `auto` = ~/.cache/cifar_jax/xla (or "
                                       "JAX_COMPILATION_CACHE_DIR where set), `off` = none.", affects_result=False),
    "tensorboard": Field(True, "Write TensorBoard events (needs TensorFlow).", affects_result=False),
    "model": {
        "name": Field("basic_net", "A name of cifar_jax.models."),
        "dropout": Field(None, "Dropout rate; None = the model's own.", kind=float, optional=True, low=0, high=0.999),
        "activation": Field(None, "Activation, where a model lets it be chosen; None = the model's own.", kind=str,
                            optional=True, choices=("relu", "leaky_relu")),
    },
    "dataset": {
        "name": Field("cifar10", "`digits` (embedded) or any TFDS set of fixed-size images with train and test."),
        "data_dir": Field("", "TFDS folder; empty = TFDS_DATA_DIR or ~/tensorflow_datasets.", affects_result=False),
        "archive": Field("", "Official CIFAR archive or its extracted folder, to prepare the set from.",
                         affects_result=False),
        "validation_fraction": Field(0.1, "Share of the training images held out, stratified by class; 0 = none.",
                                     low=0, high=0.9),
        "split_seed": Field(0, "Seed of that split: the same for all seeds of an experiment.", low=0),
    },
    "augment": {
        "crop_padding": Field(0, "Pixels padded on each side before a random crop of the old size; 0 = no crop.",
                              low=0, high=31),
        "crop_mode": Field("zero", "What is padded.", choices=("zero", "reflect")),
        "flip": Field(False, "Horizontal flip of every second image, by chance."),
        "cutout": Field(0, "Side of the square that is cut out (DeVries and Taylor 2017); 0 = none.", low=0, high=64),
    },
    "optimizer": {
        "name": Field("sgd", "`sgd` or `adam`, with PyTorch's defaults.", choices=("sgd", "adam")),
        "learning_rate": Field(0.001, "Base learning rate; the schedule multiplies it.", low=0, high=1e30),
        "momentum": Field(0.0, "Momentum of sgd.", low=0, high=0.9999),
        "weight_decay": Field(0.0, "L2: added to the gradient before momentum or Adam, for all parameters.", low=0),
    },
    "schedule": {
        "name": Field("constant", "`constant`, `cosine` (to 0 after the last step) or `plateau` (PyTorch's "
                                  "ReduceLROnPlateau on the validation metric).",
                      choices=("constant", "cosine", "plateau")),
        "warmup_epochs": Field(0.0, "Epochs of linear warm-up from 0 (constant and cosine).", low=0),
        "monitor": Field("validation_loss", "plateau: the metric watched.",
                         choices=("validation_loss", "validation_accuracy")),
        "mode": Field("min", "plateau: is less (`min`) or more (`max`) better.", choices=("min", "max")),
        "factor": Field(0.1, "plateau: learning rate times this.", low=0, high=0.9999),
        "patience": Field(10, "plateau: epochs without improvement that are waited through.", low=0),
        "threshold": Field(1e-4, "plateau: least improvement that counts.", low=0),
        "threshold_mode": Field("rel", "plateau: threshold relative to the best value, or absolute.",
                                choices=("rel", "abs")),
        "cooldown": Field(0, "plateau: epochs after a drop in which nothing is counted.", low=0),
        "min_learning_rate": Field(0.0, "plateau: the floor.", low=0),
    },
    "checkpoint": {
        "every_epochs": Field(1, "Epochs between checkpoints, of which the best and the last are kept.", low=1),
        "monitor": Field("validation_accuracy", "What `best` means.",
                         choices=("validation_accuracy", "validation_loss")),
    },
    "reported": {
        "value": Field(None, "The figure of the report that this config reproduces.", kind=float, optional=True,
                       affects_result=False),
        "metric": Field("", "What that figure is.", affects_result=False),
        "source": Field("", "Report and table.", affects_result=False),
        "remarks": Field("", "What the report leaves open and how it was decided.", affects_result=False),
    },
}  # fmt: skip


def fields(schema=None, prefix=""):
    """The schema as a flat dict: "dataset.name" -> Field, in order."""
    flat = {}
    for name, entry in (SCHEMA if schema is None else schema).items():
        if isinstance(entry, Field):
            flat[prefix + name] = entry
        else:
            flat |= fields(entry, f"{prefix}{name}.")
    return flat


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
    file, _, variant = str(path).partition(":")
    if not pathlib.Path(file).is_file():
        raise ConfigError(f"no config file {file}")
    try:
        get_config = runpy.run_path(file).get("get_config")
        if get_config is None:
            raise ConfigError(f"{file} has no function get_config()")
        config = get_config(variant) if variant else get_config()
    except ConfigError:
        raise
    except SyntaxError as error:
        where = f"{error.filename or file}, line {error.lineno}" if error.lineno else file
        raise ConfigError(f"{where}: {error.msg}") from error
    except (Exception, SystemExit) as error:  # the file is the user's code
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path}: {type(error).__name__}: {reason}") from error
    if not isinstance(config, (dict, ml_collections.ConfigDict)):
        raise ConfigError(
            f"{file}: get_config() returned {type(config).__name__}, not a ConfigDict"
        )
    return check(config)


def nearest(name, names):
    """ "; did you mean `x`?" for the nearest of `names`, or the list of them where none is near."""
    names = list(names)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5) or [
        # `learning_rate` for `optimizer.learning_rate`: the right field in the wrong section.
        known
        for known in names
        if known.split(".")[-1] == name.split(".")[-1]
    ]
    return f"did you mean `{near[0]}`?" if near else "known: " + ", ".join(names)


def check_name(name):
    """Raises ConfigError where `name` ("dataset.name") is no field."""
    known = fields()
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
    """
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
    schedule, optimizer = complete.schedule, complete.optimizer
    validated = complete.dataset.validation_fraction > 0
    if schedule.name == "plateau" and not validated:
        raise ConfigError(
            "schedule.name=plateau watches the validation set: set dataset.validation_fraction above 0"
        )
    if complete.selection == "validation" and not validated:
        raise ConfigError(
            "selection=validation needs a validation set: set dataset.validation_fraction above 0, "
            "or selection=last"
        )
    if optimizer.name != "sgd" and optimizer.momentum:
        raise ConfigError(f"optimizer.momentum belongs to sgd; {optimizer.name} has its own")
    better = "max" if schedule.monitor == "validation_accuracy" else "min"
    if schedule.name == "plateau" and schedule.mode != better:
        raise ConfigError(
            f"schedule.monitor={schedule.monitor} goes with schedule.mode={better}, not {schedule.mode}"
        )
    if schedule.warmup_epochs > complete.total_epochs:
        raise ConfigError(
            f"schedule.warmup_epochs={schedule.warmup_epochs} is more than "
            f"total_epochs={complete.total_epochs}: the base learning rate would not be reached"
        )
    if schedule.name == "plateau" and schedule.warmup_epochs:
        raise ConfigError("schedule.warmup_epochs goes with constant and cosine, not with plateau")
    return complete


def _checked(name, value, field):
    """The value in its field's type; ConfigError where it does not fit."""
    if field.kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, field.kind) or (isinstance(value, bool) and field.kind is not bool):
        raise ConfigError(
            f"config.{name} takes a value of type {field.kind.__name__}, not {value!r} "
            f"({type(value).__name__})"
        )
    if field.choices and value not in field.choices:
        raise ConfigError(f"config.{name} = {value!r}: {nearest(value, field.choices)}")
    # `not (value >= low)` refuses NaN as well.
    if field.low is not None and not value >= field.low:
        raise ConfigError(f"config.{name} = {value!r} is below its least value {field.low}")
    if field.kind is float and not abs(value) < float("inf"):
        raise ConfigError(f"config.{name} = {value!r} is not a finite number")
    if field.high is not None and not value <= field.high:
        raise ConfigError(f"config.{name} = {value!r} is above its greatest value {field.high}")
    return value


def differing(old, new):
    """Fields in which two configs would give different results: [(name, old value, new value)].

    A field that one of them does not have yet is at its default there.
    """
    known = fields()
    defaults = {name: field.default for name, field in known.items()}
    old, new = defaults | flatten(old), defaults | flatten(new)
    return [
        (name, old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name) and (name not in known or known[name].affects_result)
    ]


def describe():
    """Every field with its default and meaning, as text for `--help`."""
    lines = []
    for name, field in fields().items():
        indent = " " * 8
        doc = textwrap.fill(field.doc, 100, initial_indent=indent, subsequent_indent=indent)
        choices = f"   ({' | '.join(field.choices)})" if field.choices else ""
        lines.append(f"  --config.{name}={field.default!r}{choices}\n{doc}")
    return "\n".join(lines)
