"""Orbax and what it leaves behind say nothing: what matters is raised, and told by our own command lines."""

import collections
import logging
import sys
import warnings

# The last warning that nothing was merged of what the processes wrote: Orbax raises nothing then. Such a checkpoint
# can't be read back, and why is told from here.
unmerged = collections.deque(maxlen=1)


def install():
    """Mute Orbax in this process, from now on."""
    # Orbax tells of every save in some ten lines at INFO, of harmless defaults at WARNING, and at ERROR, with
    # tracebacks, of what it raises all the same.
    for name in ("orbax", "absl"):
        logging.getLogger(name).setLevel(logging.WARNING)
        logging.getLogger(name).addFilter(_keep)
    # A save or restore that fails leaves coroutines and callbacks behind, which complain whenever they are collected.
    logging.getLogger("asyncio").addFilter(lambda record: "was never retrieved" not in record.msg)
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
    sys.excepthook = _unless(lambda _, e, __: str(e) == "Event loop is closed", sys.excepthook)
    sys.unraisablehook = _unless(
        lambda unraisable: (
            str(unraisable.exc_value) == "Event loop is closed"
            or "orbax" in getattr(getattr(unraisable.object, "cr_code", None), "co_filename", "")
        ),
        sys.unraisablehook,
    )


def _keep(record):
    """Return whether a record is printed."""
    if "merge" in str(record.msg) and record.levelno == logging.WARNING:
        unmerged.append(" ".join(record.getMessage().split()))
    return record.levelno >= logging.CRITICAL


def _unless(dropped, hook):
    return lambda *raised: None if dropped(*raised) else hook(*raised)
