"""Processes of the command line that need not import JAX, Flax and Orbax anew: forks of one that has them.

To import those takes longer than most of what these processes are asked to do. A fork is a process of its own, with its
own environment, folder, arguments and output; cifar_jax itself, and all that looks at the environment when it is
imported, is imported in it. Where JAX's or Python's own variables are others than here, or a process is killed while it
runs, tests start a real one.
"""

import atexit
import contextlib
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import threading

LIBRARIES = ("jax", "flax.linen", "optax", "orbax.checkpoint", "ml_collections", "rich.progress")
# Read when these libraries, or Python, start.
EARLY = ("JAX_", "JAXLIB_", "FLAX_", "PYTHON", "LD_", "OMP_", "OPENBLAS_", "GLIBC_")


def possible(environment):
    """Whether a process with such an environment may be a fork."""
    names = {**os.environ, **environment}
    return all(
        os.environ.get(name) == environment.get(name) for name in names if name.startswith(EARLY)
    )


def run(arguments, cwd, env, timeout=300):
    """subprocess.run of [python, "-m", module, ...], with text output.

    Raises:
        subprocess.TimeoutExpired.
    """
    with tempfile.TemporaryDirectory() as folder:
        outputs = [os.path.join(folder, name) for name in ("stdout", "stderr")]
        child = _server().Process(target=_main, args=(arguments[2:], str(cwd), dict(env), outputs))
        child.start()
        child.join(timeout)
        if child.is_alive():
            child.kill()
            child.join()
            raise subprocess.TimeoutExpired(arguments, timeout)
        texts = []
        for path in outputs:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                texts.append(file.read())
    return subprocess.CompletedProcess(arguments, child.exitcode, *texts)


def _server():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LIBRARIES)
    return context


def _main(arguments, cwd, env, outputs):
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
    os.environ.clear()
    os.environ.update(env)
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


def _code(code):
    """The exit code of what SystemExit says."""
    if code is None or isinstance(code, int):
        return code or 0
    print(code, file=sys.stderr)
    return 1
