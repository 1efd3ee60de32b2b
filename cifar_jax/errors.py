"""Errors whose message is meant for the user: printed without a traceback, with their exit code."""

import contextlib
import difflib

MOST_LISTED = 12  # names in a message


class UserError(Exception):
    """Something the user can mend. The message says what was wrong and what to do.

    `exit_code` is what the process returns: 2 for configs, data and the command line. `opening` is what its line on
    stderr begins with.
    """

    exit_code = 2
    opening = "error: "


class DataError(UserError):
    """The data set is missing, damaged or of the wrong kind."""


class ConfigError(UserError):
    """A config names an unknown field, or gives a value of the wrong type or range."""


class LostProcess(UserError):
    """Another process of a run of several is gone."""

    exit_code = 5


class TrainingDiverged(UserError):
    """The loss became NaN or infinite."""

    exit_code = 3


class StorageError(UserError):
    """The workdir can't be written any more: its disk is full, or fails."""

    exit_code = 4


def one_line(error, most=None):
    """Write an error of a library's in one line of at most so many letters; its type's name where it is empty."""
    return " ".join(str(error).split())[:most] or type(error).__name__


@contextlib.contextmanager
def users_code(source):
    """Turn whatever a user's own code raises inside into a ConfigError of one line.

    Args:
        source: the file or module.
    """
    try:
        yield
    except UserError:
        raise
    except SyntaxError as error:
        where = f"{error.filename or source}, line {error.lineno}" if error.lineno else source
        raise ConfigError(f"{where}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{source}: {type(error).__name__}: {one_line(error)}") from error


def nearest(name, names):
    """Write "did you mean `x`?" for the nearest name; where none is near list all, or the three nearest of many."""
    names = [str(each) for each in names]
    near = (
        difflib.get_close_matches(name, names, n=1, cutoff=0.85)
        # `learning_rate` for `optimizer.learning_rate`: the right field in the wrong section.
        or [known for known in names if known.split(".")[-1] == name.split(".")[-1]]
        or difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    )
    if near:
        return f"did you mean `{near[0]}`?"
    if len(names) <= MOST_LISTED:
        return "known: " + ", ".join(names)
    three = ", ".join(difflib.get_close_matches(name, names, n=3, cutoff=0.0))
    return f"there are {len(names)}, the nearest are {three}"
