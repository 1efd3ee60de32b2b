"""A Ray cluster: joined, asked for room, and told to call a function in a process of its own.

Of the cluster's machines is asked that all see the workdir under one path, and can import this package.
"""

import contextlib
import ctypes
import importlib
import os
import signal
import socket
import traceback

from cifar_jax.console import endings
from cifar_jax.errors import UserError, one_line
from cifar_jax.machine import huge_pages

CONNECT_SECONDS = 10
LOST = None  # stands for the exit code of a worker that is gone
SAVE_SECONDS = 60  # for the workers to save after Ctrl-C
PATIENCE_SECONDS = 10  # before it is said that the cluster has no room


def say(line):
    """Print one line at once."""
    print(endings.printable(line), flush=True)


@contextlib.contextmanager
def connected():
    """Connect this process to the Ray cluster that RAY_ADDRESS names, or that runs on this machine.

    Raises:
        UserError: Ray is not installed, or there is no cluster.
    """
    # Else it takes an epoch of one group for that of another, and leaves it out.
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    try:
        import ray
    except ImportError as error:
        raise UserError("--ray_workers needs Ray: pip install 'cifar-jax[ray]'") from error
    handler = signal.getsignal(signal.SIGTERM)
    host, _, port = os.environ.get("RAY_ADDRESS", "").rpartition(":")
    try:
        if port.isdecimal() and "/" not in host:  # Ray itself would try for minutes
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
        ray.init(address="auto", logging_level="warning")
    except Exception as error:  # each kind of absence raises another
        raise UserError(
            f"no Ray cluster is reachable ({one_line(error, 200)}); `ray start --head` makes one of this machine, "
            "RAY_ADDRESS=HOST:PORT names another one"
        ) from error
    signal.signal(signal.SIGTERM, handler)  # Ray's own would end us without a word
    try:
        yield
    finally:
        ray.shutdown()


def start(name, each, function, arguments, place="SPREAD"):
    """Give a call to Ray and return its reference."""
    import ray

    tuning = {name: os.environ[name] for name in huge_pages.NAMES if name in os.environ}
    # A process of its own, as JAX's settings and memory are the process's. It is started again here, not by Ray, which
    # does not know what it left behind.
    options = {
        "name": name, "max_retries": 0, "scheduling_strategy": place,
        "runtime_env": {"env_vars": tuning}, "num_cpus": each["CPU"], "num_gpus": each.get("GPU", 0),
        "resources": {name: n for name, n in each.items() if name not in ("CPU", "GPU")},
    }  # fmt: skip
    remote = ray.remote(max_calls=1)(in_worker).options(**options)
    return remote.remote(os.getcwd(), function, arguments)


def in_worker(folder, function, arguments):
    """Make a call in this process: (exit code, what it returned or what went wrong)."""
    said = []

    def main():
        if os.path.isdir(folder):
            os.chdir(folder)
        module, name = function.split(":")
        try:
            said.append(getattr(importlib.import_module(module), name)(*arguments))
        except Exception as error:
            told = endings.as_told(error, endings.SMALLER)
            if told is None:
                traceback.print_exc()
            said.append(str(told) if told else f"{type(error).__name__}: {one_line(error)}")
            return told.exit_code if told else 1

    end_at_once()
    code = endings.guarded(main, endings.GOES_ON)()
    return code, said[0] if said else f"it ended with exit code {code}"


def end_at_once():
    """Let this process end without the end of C++: threads still use what that frees, and it would abort aloud."""
    with contextlib.suppress(AttributeError):  # another libc
        libc = ctypes.CDLL(None)
        libc.__cxa_atexit(libc._exit, None, None)


def outcome(reference, ray):
    """Wait for a call: (exit code, value or what went wrong); the code is LOST where the worker is."""
    try:
        return ray.get(reference)
    except ray.exceptions.OutOfMemoryError:
        return LOST, (
            "its machine ran out of memory, so Ray ended it: let fewer workers on a machine (--ray_resources), or make "
            "a new sweep's groups smaller (--groups)"
        )
    except ray.exceptions.TaskCancelledError:
        return LOST, "it was stopped"
    except ray.exceptions.RayTaskError as error:
        return (
            1,
            f"it could not be called ({one_line(error.cause, 200)}); has its machine this package?",
        )
    except ray.exceptions.RayError as error:
        return (
            LOST,
            f"its worker is lost: killed, out of memory, or its machine gone ({type(error).__name__})",
        )


def next_ended(running, each, workers=1):
    """Wait for the next of Ray's references to end, and say so where the cluster is too small for so many workers."""
    import ray

    ended, _ = ray.wait(list(running), timeout=PATIENCE_SECONDS)
    if not ended and sum(room(node, each) for node in ray.nodes()) < workers:
        wanted = ", ".join(f"{name}:{number:g}" for name, number in each.items())
        say(
            f"the Ray cluster has no room for {workers} with {wanted} each; waiting for more, or for Ctrl-C"
        )
    while not ended:
        ended, _ = ray.wait(list(running), timeout=PATIENCE_SECONDS)
    return ended[0]


def room(node, each):
    """Return how many workers a machine has room for, whatever runs there now; `node` is of ray.nodes()."""
    if not node["Alive"]:
        return 0
    return min((node["Resources"].get(name, 0) // n for name, n in each.items() if n), default=1)


@contextlib.contextmanager
def stopping(running):
    """Let running calls save and end where the block is left by an exception, such as Ctrl-C."""
    import ray

    try:
        yield
    except BaseException:
        for reference in running:
            ray.cancel(reference)  # as Ctrl-C
        if running:
            ray.wait(list(running), num_returns=len(running), timeout=SAVE_SECONDS)
        raise


def free_address():
    """Return HOST:PORT of this machine, as its cluster calls it, with a port that nobody listens on."""
    import ray

    with socket.socket() as taken:
        taken.bind(("", 0))
        return f"{ray.util.get_node_ip_address()}:{taken.getsockname()[1]}"
