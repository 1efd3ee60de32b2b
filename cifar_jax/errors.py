"""Errors whose message is meant for the user: printed without a traceback, with their exit code."""


class UserError(Exception):
    """Something the user can mend. The message says what was wrong and what to do.

    `exit_code` is what the process returns: 2 for configs, data and the command line.
    """

    exit_code = 2


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
    """An error of a library's in one line, of at most so many letters; its type's name where it says nothing."""
    return " ".join(str(error).split())[:most] or type(error).__name__
