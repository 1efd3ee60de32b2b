"""Processes of the command line that need not import JAX, Flax and Orbax anew: forks of one that has them.

To import those takes longer than most of what these processes are asked to do. A fork is a process of its own, with its
own environment, folder, arguments and output; cifar_jax itself, and all that looks at the environment when it is
imported, is imported in it. Where JAX's or Python's own variables are others than here, tests start a real one, but for
two variables that a fork can be told of.
"""

import atexit
import contextlib
import ctypes
import multiprocessing
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import tempfile
import threading

LIBRARIES = ("jax", "flax.linen", "optax", "orbax.checkpoint", "ml_collections", "rich.progress")
# Read when these libraries, or Python, start.
EARLY = ("JAX_", "JAXLIB_", "FLAX_", "PYTHON", "LD_", "OMP_", "OPENBLAS_", "GLIBC_")
# Those of them that JAX, once it is imported, may still be told: variable -> its setting, what reads it, the default.
TOLD = {
    "JAX_COMPILATION_CACHE_DIR": ("jax_compilation_cache_dir", str, None),
    "JAX_NUM_CPU_DEVICES": ("jax_num_cpu_devices", int, -1),
}

# Of Linux.
CLONE_NEWUSER, CAPABILITY_VERSION_3 = 0x10000000, 0x20080522


def possible(environment):
    """Whether a process with such an environment may be a fork."""
    names = {*os.environ, *environment} - TOLD.keys()
    return all(
        os.environ.get(name) == environment.get(name) for name in names if name.startswith(EARLY)
    )


def run(arguments, cwd, env, timeout=300, user=None):
    """subprocess.run of [python, "-m", module, ...], with text output, as a Process.

    Raises:
        subprocess.TimeoutExpired.
    """
    process = Process(arguments, cwd, env, user)
    try:
        texts = process.communicate(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return subprocess.CompletedProcess(arguments, process.returncode, *texts)


class Process:
    """A subprocess.Popen of [python, "-m", module, ...], with text output; of it what tests use.

    Args:
        user: a number: the process is that user, whom nobody knows, in a namespace of its own.
    """

    def __init__(self, arguments, cwd, env, user=None):
        self._arguments, self._folder = arguments, tempfile.TemporaryDirectory()
        self._outputs = [os.path.join(self._folder.name, name) for name in ("stdout", "stderr")]
        given = (arguments[2:], str(cwd), dict(env), self._outputs, user)
        self._child = _server().Process(target=_main, args=given)
        self._child.start()
        self.pid = self._child.pid

    @property
    def returncode(self):
        return self._child.exitcode

    poll = returncode.fget

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout=None):
        """What it wrote, once it has ended."""
        self._child.join(timeout)
        if self.poll() is None:
            raise subprocess.TimeoutExpired(self._arguments, timeout)
        with self._folder:
            return tuple(map(_text, self._outputs))


def _text(path):
    """What a file holds; a process may have been killed before it had one."""
    with contextlib.suppress(FileNotFoundError):
        return pathlib.Path(path).read_text("utf-8", "surrogateescape")
    return ""


def _server():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LIBRARIES)
    return context


def _main(arguments, cwd, env, outputs, user):
    """Becomes `python -m MODULE ARGUMENTS`; does not return."""
    for number, path in enumerate(outputs, start=1):
        file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(file, number)
    sys.stdout, sys.stderr = (
        os.fdopen(number, "w", encoding="utf-8", errors=errors, closefd=False)
        for number, errors in ((1, "strict"), (2, "backslashreplace"))
    )
    sys.stdin = os.fdopen(os.open(os.devnull, os.O_RDONLY))
    os.chdir(cwd)
    early = {name: os.environ.get(name) for name in TOLD}
    os.environ.clear()
    os.environ.update(env)
    tempfile.tempdir = None
    _tell(early)
    if user is not None:
        _become(user)
    module, *sys.argv[1:] = arguments
    # Without what pytest has put there.
    tests = os.path.dirname(__file__)
    sys.path[:] = [cwd, *(each for each in sys.path if each and not each.startswith(tests))]
    code = 1
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = _code(end.code)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(Exception):
            threading._shutdown()
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _tell(early):
    """Tells JAX what it would have read of the environment, where that was another when it was imported."""
    import jax

    for variable, (name, kind, default) in TOLD.items():
        value = os.environ.get(variable)
        if value != early[variable]:
            jax.config.update(name, default if value is None else kind(value))


def _become(user):
    """unshare --user --map-user=USER, and no capabilities, as a program that this user starts has none."""
    outer, libc = os.geteuid(), ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), "unshare")
    pathlib.Path("/proc/self/uid_map").write_text(f"{user} {outer} 1")
    header, none = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    if libc.capset(header, none):
        raise OSError(ctypes.get_errno(), "capset")


def _code(code):
    """The exit code of what SystemExit says."""
    if code is None or isinstance(code, int):
        return code or 0
    print(code, file=sys.stderr)
    return 1
