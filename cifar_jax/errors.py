"""Errors whose message is meant for the user: printed without a traceback, with their exit code."""

import difflib


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
    """Write an error of a library's in one line of at most so many letters; its type's name where it is empty."""
    return " ".join(str(error).split())[:most] or type(error).__name__


def nearest(name, names):
    """Write "did you mean `x`?" for the nearest of `names`, or list all where none is near."""
    names = list(names)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5) or [
        # `learning_rate` for `optimizer.learning_rate`: the right field in the wrong section.
        known
        for known in names
        if known.split(".")[-1] == name.split(".")[-1]
    ]
    return f"did you mean `{near[0]}`?" if near else "known: " + ", ".join(names)
