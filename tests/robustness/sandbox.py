"""Command lines within this process, in a folder of their own: how they end, and what they touch beside it."""

import contextlib
import dataclasses
import importlib
import io
import os
import pathlib
import resource
import signal
import sys
import tempfile

import pytest

from cifar_jax.console import endings

# The command lines whose main takes the program's name too, and leaves it to endings.run how it ends.
TRAINING = ("main", "sweep.__main__")
SECONDS = 60  # after which a command line is taken to hang
GROWTH = (
    4 << 30
)  # bytes that one may add to the process, so that what it should have refused harms no machine

_watchers = []  # what the audit hook tells; it can't be taken away again
_hooked = False


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a command line ended."""

    code: int
    printed: str
    errors: str
    touched: tuple[str, ...]  # what was written, removed, run or called outside the places for it


class Sandbox:
    """A folder with a home, a cache, a place for temporary files, and `here`, in which command lines are run.

    They may write to `here`, where the test keeps their workdirs, and to the caches, and nowhere else.
    """

    def __init__(self, root):
        self.root = pathlib.Path(root).resolve()
        names = ("here", "home", "cache", "tmp")
        self.here, self.home, self.cache, self.temporary = (self.root / name for name in names)
        for name in names:
            (self.root / name).mkdir(parents=True)

    def run(self, name, *arguments):
        """Runs `python -m cifar_jax.NAME ARGUMENTS`; returns an Ended.

        Raises:
            whatever a user would see as a traceback; TimeoutError of what takes SECONDS.
        """
        module = importlib.import_module(f"cifar_jax.{name}")
        arguments, main = list(map(str, arguments)), module.main
        if name in TRAINING:
            arguments = [[name, *arguments]]
            main = endings.guarded(main, endings.GOES_ON)
        else:
            arguments = [arguments]
        with self._entered(name) as (streams, touched), _limited():
            before = self.snapshot()
            try:
                code = main(*arguments)
            except SystemExit as ended:  # argparse's
                code = ended.code
            changed = {path for path, _ in before ^ self.snapshot()}
        printed, errors = (each.buffer.getvalue().decode() for each in streams)
        return Ended(code, printed, errors, (*sorted(changed), *touched))

    def snapshot(self):
        """The files outside the places that may be written to: {(path, size and time, or None of a folder)}."""
        entries = set()
        for folder, folders, names in os.walk(self.root):
            folders[:] = [each for each in folders if not self._is_free(os.path.join(folder, each))]
            entries |= {(os.path.join(folder, each), None) for each in folders}
            for each in names:
                path = os.path.join(folder, each)
                status = os.lstat(path)
                entries.add((path, (status.st_size, status.st_mtime_ns)))
        return entries

    def _is_free(self, path):
        return any(pathlib.Path(path).is_relative_to(each) for each in (self.here, self.cache))

    @contextlib.contextmanager
    def _entered(self, name):
        """The process as the command line finds it; yields ((stdout, stderr), what it touches: a list)."""
        streams = [
            io.TextIOWrapper(io.BytesIO(), "utf-8", errors, write_through=True)
            for errors in ("strict", "backslashreplace")
        ]
        touched, caches = [], [self.cache, *filter(None, [os.environ.get("XDG_CACHE_HOME")])]

        def watch(event, path):
            inside = path and any(
                pathlib.Path(path).is_relative_to(each) for each in (self.here, *caches)
            )
            if not inside and path != os.devnull:
                touched.append(f"{event}: {path}")

        with pytest.MonkeyPatch.context() as patched, watching(watch):
            patched.chdir(self.here)
            patched.setenv("HOME", str(self.home))
            patched.setenv("XDG_CACHE_HOME", str(self.cache))
            patched.setenv("COLUMNS", "200")
            patched.delenv("TFDS_DATA_DIR", raising=False)
            patched.setattr(tempfile, "tempdir", str(self.temporary))
            patched.setattr(sys, "argv", [name])
            patched.setattr(sys, "dont_write_bytecode", True)
            patched.setattr(sys, "stdout", streams[0])
            patched.setattr(sys, "stderr", streams[1])
            yield streams, touched


@contextlib.contextmanager
def watching(watch):
    """Calls watch(event, path) for each attempt to write, remove, run or connect, of any thread."""
    global _hooked
    if not _hooked:
        _hooked = True
        sys.addaudithook(_hook)
    _watchers.append(watch)
    try:
        yield
    finally:
        _watchers.remove(watch)


WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Event -> the positions of (path, its dir_fd or None) that it changes.
CHANGES = {
    "os.mkdir": [(0, 2)],
    "os.rename": [(0, 2), (1, 3)],
    "os.remove": [(0, 1)],
    "os.rmdir": [(0, 1)],
    "os.link": [(1, 3)],
    "os.symlink": [(1, 2)],
    "os.truncate": [(0, None)],
    "os.chmod": [(0, 2)],
    "os.mkfifo": [(0, 2)],
}
PROGRAMS = ("os.exec", "os.fork", "os.posix_spawn", "os.system", "subprocess.Popen")


def _hook(event, arguments):
    if not _watchers:
        return
    if event == "open":
        path, _, flags = arguments
        is_write = flags & WRITING and not isinstance(path, int)
        # Of a folder it is a nameless file, which no folder ever shows, or an error.
        paths = [_absolute(path)] if is_write and not os.path.isdir(path) else []
    elif event in CHANGES:
        paths = [
            _absolute(arguments[place], -1 if fd is None else arguments[fd])
            for place, fd in CHANGES[event]
        ]
    elif event in PROGRAMS or event == "socket.connect":
        paths = [None]
    else:
        return
    for path in paths:
        for watch in list(_watchers):
            watch(event, path)


def _absolute(path, folder=-1):
    if isinstance(path, int):
        return os.readlink(f"/proc/self/fd/{path}")
    start = os.getcwd() if folder == -1 else os.readlink(f"/proc/self/fd/{folder}")
    return os.path.normpath(os.path.join(start, os.fsdecode(path)))


@contextlib.contextmanager
def _limited():
    """What hangs gets a TimeoutError, what takes too much memory a MemoryError."""

    def give_up(*_):
        raise TimeoutError(f"no end after {SECONDS} seconds")

    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    before, (soft, hard) = (
        signal.signal(signal.SIGALRM, give_up),
        resource.getrlimit(resource.RLIMIT_AS),
    )
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + GROWTH, hard))
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGALRM, before)
