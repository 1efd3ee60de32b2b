"""No warnings, from several threads at once."""

import contextlib
import sys
import threading
import warnings

_LOCK = threading.Lock()
_depth, _ours = 0, None


@contextlib.contextmanager
def no_warnings():
    """Ignore all warnings, in every thread, until the last one that asked for it is done.

    `warnings.catch_warnings` alone puts back what it found, which of two threads that overlap is what the other one
    had set: warnings would stay ignored. Where each thread has filters of its own (Python 3.14 without its lock), so
    are they ignored.
    """
    if getattr(sys.flags, "context_aware_warnings", False):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
        return
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter():
    global _depth, _ours
    with _LOCK:
        _depth += 1
        if _depth == 1:
            _ours = warnings.catch_warnings()
            _ours.__enter__()
            warnings.simplefilter("ignore")


def _leave():
    global _depth
    with _LOCK:
        _depth -= 1
        if not _depth:
            _ours.__exit__(None, None, None)
