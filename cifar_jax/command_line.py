"""What the command lines share: their flags, and how they end.

This imports little, so that a wrong word is refused, and Ctrl-C understood, before JAX is there.
"""

import argparse
import contextlib
import functools
import os
import re
import signal
import sys
import threading
import traceback

from cifar_jax import home, paths, settings
from cifar_jax.errors import ConfigError, UserError

PATHS = ("FILE", "FOLDER", "IMAGE", "PATH", "WORKDIR")  # the metavars of arguments that are paths
OVERRIDE = re.compile(r"--?config\.([^=]*)")
GOES_ON = "interrupted; the same command goes on from the last checkpoint, if any"

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
        found = super().parse_args(args, namespace)
        for action in self._actions:
            # argparse takes `--name=--` for a list without elements, from Python 3.13 on for a value.
            if action.nargs is None and getattr(found, action.dest, None) in ([], "--"):
                self.error(f"argument {'/'.join(action.option_strings)}: expected one argument")
            if action.metavar in PATHS:
                given = getattr(found, action.dest)
                for path in given if isinstance(given, list) else filter(None, [given]):
                    paths.local(path)
        return found

    def error(self, message):
        super().error(printable(message))


def make_parser(name, description, **options):
    """An argparse.ArgumentParser of `python -m cifar_jax.NAME`, with the description's own lines.

    Its arguments with one of PATHS as metavar take no URL: parse_args raises UserError.
    """
    return _Parser(
        f"python -m cifar_jax.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **options,
    )


def add_run_arguments(parser, *names):
    """Adds arguments of RUN_ARGUMENTS to a parser."""
    for name in names:
        parser.add_argument(name, **RUN_ARGUMENTS[name])


def read_flags(argv, define=None):
    """Reads --config, --workdir and the flags of a command's own.

    Args:
        argv: list of str, the program's name first.
        define: called with the absl FlagValues to define more flags in.
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
    if define:
        define(own)
    with _refusals(list(own)):
        rest = own(argv, known_only=True)
    if not own.config:
        raise ConfigError("--config=FILE is missing, such as --config configs/quickstart.py")
    if not own.workdir:
        raise ConfigError("--workdir=FOLDER is missing, such as --workdir runs/first")
    paths.local(own.config)
    paths.local(own.workdir)
    return own, rest


def overridden(argv):
    """The fields that --config.FIELD=VALUE names in a command line: a list."""
    return [found[1] for found in map(OVERRIDE.match, argv[1:]) if found]


def override(config, rest, known=("config", "workdir")):
    """The config with the values of --config.FIELD=VALUE, checked.

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
    """Turns what absl raises into ConfigErrors."""
    from absl import flags

    from cifar_jax import config as config_lib

    try:
        yield
    except flags.UnrecognizedFlagError as error:
        nearest = config_lib.nearest(error.flagname, known)
        raise ConfigError(f"unknown flag --{error.flagname}; {nearest}") from error
    except flags.Error as error:
        raise ConfigError(" ".join(str(error).split())) from error
    except StopIteration as error:
        raise ConfigError("the last flag has no value; values are given as --name=value") from error


def printable(text):
    """Text that can't move a terminal's cursor or fake a line: what is not printable is escaped."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


def asks_for_help(argv):
    return bool({"--help", "-h", "-help"} & set(argv[1:]))


def run(main):
    """Calls main(sys.argv), which trains, and ends the process; see `guarded`."""
    sys.exit(guarded(main, GOES_ON)(sys.argv))


def guarded(main, interrupted="interrupted"):
    """A decorator: how a command line ends.

    Args:
        main: takes the arguments of a command line, if any.
        interrupted: what Ctrl-C and SIGTERM are answered with.
    Returns:
        main with an exit code: its own or 0, that of a UserError, whose message goes to stderr, 2 where the
        system refuses a path, 130 after Ctrl-C, 143 after SIGTERM, or 141 (SIGPIPE's) where nobody reads what
        is printed; where rich notices that first, it exits with 1.
    """

    @functools.wraps(main)
    def guarded_main(*arguments):
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError):  # another program's own stream
                stream.reconfigure(errors="backslashreplace")  # a file's name need not be text
        try:
            try:
                with _signals_unwind(interrupted):
                    return _exit_code(main, arguments, interrupted)
            finally:  # argparse's SystemExit comes by, too
                sys.stdout.flush()
        except BrokenPipeError:  # such as `--help | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 128 + 13

    return guarded_main


def _exit_code(main, arguments, interrupted):
    try:
        settings.drop(os.environ, _remark)
        home.settle()
        # Figures are files. A notebook's processes inherit a backend that another installation may not have.
        os.environ["MPLBACKEND"] = "agg"
        return main(*arguments) or 0
    except UserError as error:
        lines = map(printable, str(error).split("\n"))
        print("error:", "\n".join(lines), file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        raise
    except OSError as error:  # such as a name that is too long, or a folder that may not be read
        if not isinstance(error.filename, (str, bytes, os.PathLike)):
            raise
        path = printable(os.fsdecode(error.filename)[:200])
        print(f"error: can't use {path} ({error.strerror}); give another path", file=sys.stderr)
        return UserError.exit_code
    except (RuntimeError, ValueError) as error:
        if not (why := _of_the_environment(error)):
            raise
        print("error:", printable(why), file=sys.stderr)
        return UserError.exit_code
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return 128 + signal.SIGINT
    except _Terminated:
        print(interrupted, file=sys.stderr)
        return 128 + signal.SIGTERM


def _remark(line):
    print(printable(line), file=sys.stderr)


def _of_the_environment(error):
    """What of the process's environment an error of Python's or JAX's is about, and what to do; "" for another."""
    text = " ".join(str(error).split())
    if text.startswith("Could not determine home directory"):  # pathlib's
        caller = [each for each in _files(error) if "/pathlib" not in each][-1]
        if "/cifar_jax/" in caller:
            return "a path begins with ~, but there is no such home folder; give the whole path"
        return f"{caller} asks for the home folder, and this user has none; name one with HOME"
    if text.startswith("Unable to initialize backend"):
        return f"JAX finds no device ({text}); JAX_PLATFORMS=cpu takes the processor"
    if "jax" not in sys.modules and any("jax/_src/config" in each for each in _files(error)):
        return f"JAX can't be started ({text}); leave that variable of the environment out"
    return ""


def _files(error):
    """Where an error was raised, and through which files it came."""
    return [
        frame.filename.replace(os.sep, "/") for frame in traceback.extract_tb(error.__traceback__)
    ]


class _Terminated(BaseException):
    """SIGTERM, as KeyboardInterrupt is SIGINT."""


@contextlib.contextmanager
def _signals_unwind(interrupted):
    """Lets SIGTERM unwind the program as Ctrl-C does, where it would end it without a word.

    While a module is imported both end it at once: a C extension that an exception reaches at its start may crash.
    """
    kinds = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: _Terminated}
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}

    def unwind(number, frame):
        while frame:
            if frame.f_code.co_filename.startswith("<frozen importlib"):
                os.write(2, f"{interrupted}\n".encode())
                os._exit(128 + number)
            frame = frame.f_back
        raise kinds[number]

    if threading.current_thread() is not threading.main_thread():  # Python allows no handlers there
        yield
        return
    replaced = [each for each in usual if signal.getsignal(each) == usual[each]]
    for each in replaced:
        signal.signal(each, unwind)
    try:
        yield
    finally:
        for each in replaced:
            signal.signal(each, usual[each])
