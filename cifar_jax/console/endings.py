"""The ends of command lines: exit codes, one message, no traceback.

This imports little, so that Ctrl-C is understood before JAX is there.
"""

import contextlib
import errno
import functools
import os
import signal
import sys
import threading
import traceback

from cifar_jax.config import jax_settings
from cifar_jax.console import home, program
from cifar_jax.errors import StorageError, UserError, one_line

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO)  # errors of a write, which name no file
LONGEST = 300  # letters of a library's message
SMALLER = (
    "; smaller batches need less: --config.accumulate_steps=2 takes one in two parts, --config.batch_size and "
    "--config.eval_batch_size make them smaller"
)
GOES_ON = "interrupted; the same command goes on from the last checkpoint, if any"


def printable(text):
    """Escape what is not printable, so that a text can't move a terminal's cursor or fake a line."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


def run(main):
    """Call main(sys.argv), which trains, and end the process; see `guarded`."""
    sys.exit(guarded(main, GOES_ON, SMALLER)(sys.argv))


def guarded(main, interrupted="interrupted", smaller=""):
    """Decorate a main: give it the end of a command line.

    Args:
        main: takes the arguments of a command line, if any.
        interrupted: what Ctrl-C and SIGTERM are answered with.
        smaller: what helps where memory does not suffice.
    Returns:
        main with an exit code: its own or 0, that of a UserError, whose message goes to stderr, 2 where the
        system refuses a path, 4 where a disk is full, 130 after Ctrl-C, 143 after SIGTERM, or 141 (SIGPIPE's)
        where nobody reads what is printed; where rich notices that first, it exits with 1.
    """

    @functools.wraps(main)
    def guarded_main(*arguments):
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError):  # another program's own stream
                stream.reconfigure(errors="backslashreplace")  # a file's name need not be text
        try:
            try:
                with _signals_unwind(interrupted):
                    return _exit_code(main, arguments, interrupted, smaller)
            finally:  # argparse's SystemExit comes by, too
                sys.stdout.flush()
        except OSError as error:  # of what is printed, such as `--help | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if isinstance(error, BrokenPipeError):
                return 128 + 13
            if not (told := as_told(error)):
                raise
            return _say(told)

    return guarded_main


def _exit_code(main, arguments, interrupted, smaller):
    try:
        jax_settings.drop(os.environ, _remark)
        home.settle()
        # Figures are files. A notebook's processes inherit a backend that another installation may not have.
        os.environ["MPLBACKEND"] = "agg"
        return main(*arguments) or 0
    except BrokenPipeError:
        raise
    except Exception as error:
        if not (told := as_told(error, smaller)):
            raise
        return _say(told)
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return 128 + signal.SIGINT
    except _Terminated:
        print(interrupted, file=sys.stderr)
        return 128 + signal.SIGTERM


def as_told(error, smaller=""):
    """Return the UserError that an error is told as, or None for a fault of ours.

    Args:
        error: an Exception.
        smaller: of `guarded`.
    """
    if isinstance(error, UserError):
        return error
    if isinstance(error, OSError):
        if isinstance(error.filename, (str, bytes, os.PathLike)):
            # Such as a name that is too long, or a folder that may not be read.
            path = printable(os.fsdecode(error.filename)[:200])
            return UserError(f"can't use {path} ({error.strerror}); give another path")
        full = f"a disk can't be written ({error.strerror}); see to it"
        return StorageError(full) if error.errno in FULL else None
    if isinstance(error, (MemoryError, RuntimeError, ValueError)):
        why = _of_the_environment(error, smaller)
        return UserError(printable(why)) if why else None
    return None


def _say(error):
    """Print what a UserError says and return its exit code."""
    lines = map(printable, program.as_called(str(error)).split("\n"))
    print(error.opening + "\n".join(lines), file=sys.stderr)
    return error.exit_code


def _remark(line):
    print(printable(line), file=sys.stderr)


def _of_the_environment(error, smaller):
    """Say what of the process's environment an error of Python's or JAX's is about, and what to do; "" for another."""
    text = one_line(error, LONGEST)
    if isinstance(error, MemoryError) or text.startswith("RESOURCE_EXHAUSTED"):
        return f"out of memory ({text}){smaller}"
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
    """List the files that an error came through, to the one that raised it."""
    return [
        frame.filename.replace(os.sep, "/") for frame in traceback.extract_tb(error.__traceback__)
    ]


class _Terminated(BaseException):
    """SIGTERM, as KeyboardInterrupt is SIGINT."""


@contextlib.contextmanager
def _signals_unwind(interrupted):
    """Let SIGTERM unwind the program as Ctrl-C does, where SIGTERM would end it without a word.

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
