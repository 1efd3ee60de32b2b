"""The flags of the command lines.

This imports little, so that a wrong word is refused before JAX is there.
"""

import argparse
import contextlib
import re

from cifar_jax import plugins
from cifar_jax.config import paths, words
from cifar_jax.console import endings, program
from cifar_jax.errors import ConfigError, nearest, one_line

PATHS = ("FILE", "FOLDER", "IMAGE", "PATH", "WORKDIR")  # the metavars of arguments that are paths
OVERRIDE = re.compile(r"--?config\.([^=]*)")
# What several command lines ask of a run.
RUN_ARGUMENTS = {
    "--workdir": {"metavar": "FOLDER", "required": True, "help": "of the run"},
    "--split": {"default": "test", "help": "test (the default), validation or train"},
    "--checkpoint": {
        "metavar": "WHICH",
        "help": "best, last or a step; by default what the config's selection names",
    },
    "--data_dir": {"metavar": "FOLDER", "help": "where the data set is now"},
}


class _Parser(argparse.ArgumentParser):
    def parse_args(self, args=None, namespace=None):
        arguments = super().parse_args(args, namespace)
        for action in self._actions:
            # argparse takes `--name=--` for a list without elements, from Python 3.13 on for a value.
            given = getattr(arguments, action.dest, None)
            last = given[-1:] if isinstance(given, list) else given
            if action.nargs is None and last in ([], "--", [[]], ["--"]):
                self.error(f"argument {'/'.join(action.option_strings)}: expected one argument")
            if action.metavar in PATHS:
                given = getattr(arguments, action.dest)
                for path in given if isinstance(given, list) else filter(None, [given]):
                    paths.local(path)
        for plugin in arguments.plugin or ():
            plugins.load(plugin)
        return arguments

    def error(self, message):
        super().error(endings.printable(message))


def make_parser(name, description):
    """Make the argparse.ArgumentParser of a command, with the description's own lines.

    Arguments with one of PATHS as metavar take no URL: parse_args raises UserError.
    """
    parser = _Parser(
        program.as_called(f"python -m cifar_jax.{name}"),
        description=program.as_called(description),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    given = "of models and more of one's own: a Python file or a module (docs/plugins.md); as often as wanted"
    parser.add_argument("--plugin", metavar="FILE", action="append", help=given)
    return parser


def add_run_arguments(parser, *names):
    """Add arguments of RUN_ARGUMENTS to a parser."""
    for name in names:
        parser.add_argument(name, **RUN_ARGUMENTS[name])


def add_model_arguments(parser, *names):
    """Add --workdir, which may be left out for the model in the box, and more of RUN_ARGUMENTS to a parser."""
    parser.add_argument(
        "--workdir",
        metavar="FOLDER",
        help="of a run, or pretrained:NAME (default: the best model that comes with the package)",
    )
    add_run_arguments(parser, *names)


def read_flags(argv, define=None, with_workdir=True):
    """Read --config, --workdir and the flags of a command's own.

    Args:
        argv: list of str, the program's name first.
        define: called with the absl FlagValues to define more flags in.
        with_workdir: whether --workdir must be given.
    Returns:
        (FlagValues, the rest of argv for `override`).
    Raises:
        ConfigError: what is wrong with the command line, and the nearest valid name.
        UserError: a URL for a path.
    """
    from absl import flags

    from cifar_jax import config as config_lib

    for name in overridden(argv):
        config_lib.check_name(name)
        inside = [field for field in config_lib.fields() if field.startswith(f"{name}.")]
        if inside:
            raise ConfigError(
                f"config.{name} is a section of fields, not a value; give one of them, such as --config.{inside[0]}=..."
            )
    own = flags.FlagValues()
    flags.DEFINE_string("config", None, "Config file.", flag_values=own)
    flags.DEFINE_string("workdir", None, "Folder of the run.", flag_values=own)
    flags.DEFINE_multi_string("plugin", [], "Own models and more.", flag_values=own)
    flags.DEFINE_boolean("verbose", False, "Say what was set for speed.", flag_values=own)
    if define:
        define(own)
    with _refusals(list(own)):
        rest = own(argv, known_only=True)
    if not own.config:
        raise ConfigError("--config=FILE is missing, such as --config quickstart")
    if with_workdir and not own.workdir and not ("dry_run" in own and own.dry_run):
        raise ConfigError("--workdir=FOLDER is missing, such as --workdir runs/first")
    for path in filter(None, (own.config, own.workdir, *own.plugin)):
        paths.local(path)
    for plugin in own.plugin:
        plugins.load(plugin)
    return own, rest


def overridden(argv):
    """List the fields that --config.FIELD=VALUE names in a command line."""
    return [match[1] for match in map(OVERRIDE.match, argv[1:]) if match]


def override(config, rest, known=("config", "workdir")):
    """Return the config with the values of --config.FIELD=VALUE, checked.

    Args:
        config: ConfigDict.
        rest: of read_flags.
        known: the names of the flags that read_flags took.
    Raises:
        ConfigError: an argument that is no override, or a value that does not fit.
    """
    from absl import flags
    from ml_collections import config_flags

    from cifar_jax import config as config_lib

    overrides = flags.FlagValues()
    with _refusals(known):
        config_flags.DEFINE_config_dict("config", config, flag_values=overrides, sys_argv=rest)
        rest = overrides(rest)
    if rest[1:]:
        raise ConfigError(f"unexpected argument {rest[1]!r}; values are given as --name=value")
    return config_lib.check(overrides.config)


@contextlib.contextmanager
def _refusals(known):
    """Turn what absl raises into ConfigErrors."""
    from absl import flags

    try:
        yield
    except flags.UnrecognizedFlagError as error:
        meant = words.flag_meant(error.flagname)
        hint = f"did you mean `{meant}`?" if meant else nearest(error.flagname, known)
        raise ConfigError(f"unknown flag --{error.flagname}; {hint}") from error
    except flags.Error as error:
        raise ConfigError(one_line(error)) from error
    except StopIteration as error:
        raise ConfigError("the last flag has no value; values are given as --name=value") from error


def asks_for_help(argv):
    return bool({"--help", "-h", "-help"} & set(argv[1:]))
