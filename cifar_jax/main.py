"""Trains and evaluates the model that a config describes.

  python -m cifar_jax.main --config configs/quickstart.py --workdir runs/quickstart
  python -m cifar_jax.main --config configs/basic_net.py --workdir runs/basic_net \\
      --config.dataset.archive=cifar-10-binary.tar.gz --config.seed=1

--config FILE[:VARIANT]  a Python file with get_config(); see configs/.
--config.NAME=VALUE      changes a field of it; the fields are listed below.
--workdir FOLDER         takes config.json, checkpoints/, metrics.jsonl, summary.json and TensorBoard
                         events. Started again with the same config, the run goes on where it stopped.

Exit codes: 0 done, 2 wrong config, data or command line, 3 loss became NaN or infinite,
130 Ctrl-C and 143 SIGTERM (during training both save first, at the end of the log interval).
"""

import os
import re
import sys

from cifar_jax.errors import ConfigError, UserError


def parse(argv):
    """The config and the workdir that a command line asks for.

    Args:
        argv: list of str, the program's name first.
    Returns:
        (checked ConfigDict, workdir str).
    Raises:
        ConfigError: what is wrong with the command line, and the nearest valid name.
    """
    from absl import flags
    from ml_collections import config_flags

    from cifar_jax import config as config_lib

    for argument in argv[1:]:
        if override := re.match(r"--?config\.([^=]*)", argument):
            config_lib.check_name(override[1])
    try:
        paths = flags.FlagValues()
        flags.DEFINE_string("config", None, "Config file.", flag_values=paths)
        flags.DEFINE_string("workdir", None, "Folder of the run.", flag_values=paths)
        rest = paths(argv, known_only=True)
        if not paths.config:
            raise ConfigError("--config=FILE is missing, such as --config configs/quickstart.py")
        if not paths.workdir:
            raise ConfigError("--workdir=FOLDER is missing, such as --workdir runs/first")
        config = config_lib.load(paths.config)
        overrides = flags.FlagValues()
        config_flags.DEFINE_config_dict("config", config, flag_values=overrides, sys_argv=rest)
        rest = overrides(rest)
    except flags.UnrecognizedFlagError as error:
        known = config_lib.nearest(error.flagname, ["config", "workdir"])
        raise ConfigError(f"unknown flag --{error.flagname}; {known}") from error
    except flags.Error as error:
        raise ConfigError(" ".join(str(error).split())) from error
    except StopIteration as error:
        raise ConfigError("the last flag has no value; values are given as --name=value") from error
    if rest[1:]:
        raise ConfigError(f"unexpected argument {rest[1]!r}; values are given as --name=value")
    return config_lib.check(overrides.config), paths.workdir


def main(argv):
    """Runs a command line and returns its exit code."""
    if {"--help", "-h", "-help"} & set(argv[1:]):
        from cifar_jax import config as config_lib
        from cifar_jax import models

        print(f"{__doc__}\nModels: {', '.join(models.names())}.\n")
        print(f"Fields of a config, with their defaults:\n{config_lib.describe()}")
        return 0
    try:
        config, workdir = parse(argv)
        from cifar_jax import train

        train.train_and_evaluate(config, workdir)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(
            "interrupted; the same command goes on from the last checkpoint, if any",
            file=sys.stderr,
        )
        return 130
    return 0


if __name__ == "__main__":
    try:
        exit_code = main(sys.argv)
        sys.stdout.flush()
    except BrokenPipeError:  # such as `--help | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        exit_code = 128 + 13  # SIGPIPE's
    sys.exit(exit_code)
