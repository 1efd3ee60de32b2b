"""Orbax and what it leaves behind say nothing: what matters is raised, and told by our own command lines."""

import logging
import sys
import warnings


def install():
    """Mutes them in this process, from now on."""
    # Orbax tells of every save in some ten lines at INFO, of harmless defaults at WARNING, and at ERROR, with
    # tracebacks, of what it raises all the same.
    for name in ("orbax", "absl"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # A save or restore that fails leaves coroutines and callbacks behind, which complain whenever they are collected.
    logging.getLogger("asyncio").addFilter(lambda record: "was never retrieved" not in record.msg)
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
    sys.excepthook = _unless(lambda _, e, __: str(e) == "Event loop is closed", sys.excepthook)
    sys.unraisablehook = _unless(
        lambda found: (
            str(found.exc_value) == "Event loop is closed"
            or "orbax" in getattr(getattr(found.object, "cr_code", None), "co_filename", "")
        ),
        sys.unraisablehook,
    )


def _unless(dropped, hook):
    return lambda *found: None if dropped(*found) else hook(*found)
