"""Calls in the workers of a Ray cluster: one after the other or side by side, and anew where a worker is lost.

Ray places the calls and starts a process for each; here is decided when one is started again. Of the cluster's machines
is asked that all see the workdir under one path, and can import this package.
"""

import contextlib
import ctypes
import importlib
import os
import pathlib
import signal
import socket
import traceback

from cifar_jax.console import endings
from cifar_jax.errors import ConfigError, UserError, one_line
from cifar_jax.machine import huge_pages

CONNECT_SECONDS = 10
LOST = None  # stands for the exit code of a worker that is gone
SAVE_SECONDS = 60  # for the workers to save after Ctrl-C
GOODBYE_SECONDS = 60  # for the processes of a run to notice that one is lost
PATIENCE_SECONDS = 10  # before it is said that the cluster has no room
RAYS_OWN = ("memory", "object_store_memory")  # no resources in Ray's eyes
TOO_OFTEN = 2  # times that a call fails in one and the same standing


def define_flags(values):
    """Define --ray_workers and --ray_resources in absl's FlagValues."""
    from absl import flags

    flags.DEFINE_integer("ray_workers", 0, "Of a Ray cluster.", 0, 10_000, flag_values=values)
    flags.DEFINE_list("ray_resources", ["CPU:1"], "Of each worker.", flag_values=values)


def resources(flags):
    """Return what each worker is to have, as --ray_resources says: {"CPU": 1.0, "GPU": 8.0}.

    Raises:
        ConfigError: it is no list of NAME:NUMBER, or --workdir is no absolute path, or flags contradict each other.
    """
    if "dry_run" in flags and flags.dry_run:
        raise ConfigError("--dry_run looks at this machine: leave out --ray_workers")
    if flags.coordinator or flags.distributed:
        raise ConfigError(
            "--ray_workers starts the processes: leave out --coordinator and --distributed"
        )
    if not os.path.isabs(os.path.expanduser(flags.workdir)):
        raise ConfigError(
            f"--workdir={flags.workdir}: --ray_workers needs an absolute path, of a folder that all machines share"
        )
    each = {}
    for text in flags.ray_resources:
        name, _, number = text.partition(":")
        try:
            each[name] = float(number)
        except ValueError:
            number = ""
        named = name not in ("", *RAYS_OWN)
        if (
            not named
            or not number
            or not 0 <= each[name] < 1e6
            or (each[name] > 1 and each[name] % 1)
        ):
            raise ConfigError(
                f"--ray_resources={','.join(flags.ray_resources)} is no list of NAME:NUMBER, such as CPU:8,GPU:1; a "
                "number above 1 is whole"
            )
    return {"CPU": 1.0} | each


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


def newest(folder):
    """Return what is in a folder of checkpoints: what a next attempt would go on from."""
    folder = pathlib.Path(folder).expanduser()
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


class Attempts:
    """Counts how often a call failed in one standing."""

    def __init__(self, standing):
        self._standing, self._failed = standing, {}

    def again(self, name):
        """Take a failure of a call and return whether it is to be tried again."""
        now = self._standing(name)
        before, times = self._failed.get(name, (None, 0))
        self._failed[name] = now, times + 1 if before == now else 1
        return self._failed[name][1] < TOO_OFTEN


def call_each(calls, workers, each, standing):
    """Make calls in workers, at most so many at once; one that fails is made again, until it fails twice on end.

    Args:
        calls: {name: ("MODULE:FUNCTION", arguments)}.
        workers: int.
        each: of `resources`.
        standing: name -> what a next attempt would go on from. A call that came further meanwhile has not failed yet.
    Returns:
        ({name: what the call returned}, {name: why it failed}).
    """
    import ray

    waiting, running, values, failures = list(calls), {}, {}, {}
    attempts = Attempts(standing)
    with _stopping(running):
        while waiting or running:
            while waiting and len(running) < workers:
                name = waiting.pop(0)
                running[_start(name, each, *calls[name])] = name
            reference = _next(running, each)
            name = running.pop(reference)
            code, value = _outcome(reference, ray)
            if code == 0:
                values[name] = value
            elif attempts.again(name):
                say(f"{name}: {value}; it is started again")
                waiting.append(name)
            else:
                failures[name] = value
                say(f"{name}: {value}; it is given up")
    return values, failures


def call(function, arguments, name, each):
    """Make one call in a worker, twice if need be, and return its value.

    Raises:
        UserError: it failed.
    """
    values, failures = call_each({name: (function, arguments)}, 1, each, lambda _: 0)
    if failures:
        raise UserError(f"{name}: {failures[name]}")
    return values[name]


def call_together(function, arguments, workers, each, standing):
    """Make one call in each of several workers at once: the processes of one run, see machine.joining.

    When one is lost, all are started again, until that happens twice without a new checkpoint between.

    Args:
        function: "MODULE:FUNCTION".
        arguments: ("HOST:PORT" of the first worker, number of the worker) -> arguments.
        workers, each: of `call_each`.
        standing: () -> what a next attempt would go on from.
    Raises:
        UserError: the run ended with an error, or was given up.
    """
    attempts = Attempts(lambda _: standing())
    while True:
        outcomes, first = _attempt(function, arguments, workers, each)
        codes = [code for code, _ in outcomes]
        if set(codes) == {0}:
            return
        if len(set(codes)) == 1 and codes[0] is not LOST:
            raise _as_error(*outcomes[0])
        why = f"process {first} of {workers}: {outcomes[first][1]}"
        if not attempts.again("run"):
            raise UserError(f"{why}; twice without a checkpoint between, so the run is given up")
        say(f"{why}; all are started again")


def _attempt(function, arguments, workers, each):
    """Run the processes of a run once, each to its end.

    Returns:
        (a list of their (exit code, value or what went wrong), number of the first that failed or of the last one).
    """
    import ray
    from ray.util.placement_group import placement_group, remove_placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    together = placement_group([each] * workers, strategy="SPREAD")
    running = {}
    try:
        ready = {together.ready(): "placement"}
        _next(ready, each, workers)
        places = [PlacementGroupSchedulingStrategy(together, bundle) for bundle in range(workers)]
        task = ray.remote(free_address).options(num_cpus=0, scheduling_strategy=places[0])
        address = ray.get(task.remote())
        with _stopping(running):
            for process, place in enumerate(places):
                name = f"process {process}"
                given = arguments(address, process)
                running[_start(name, each, function, given, place)] = process
            references = list(running)
            ended, going = ray.wait(references)
            while going and _outcome(ended[-1], ray)[0] == 0:
                more, going = ray.wait(going)
                ended += more
            ray.wait(references, num_returns=workers, timeout=GOODBYE_SECONDS)
            for reference in references:
                ray.cancel(reference, force=True)
            running.clear()
            outcomes = [_outcome(reference, ray) for reference in references]
            return outcomes, references.index(ended[-1])
    finally:
        remove_placement_group(together)


def free_address():
    """Return HOST:PORT of this machine, as its cluster calls it, with a port that nobody listens on."""
    import ray

    with socket.socket() as taken:
        taken.bind(("", 0))
        return f"{ray.util.get_node_ip_address()}:{taken.getsockname()[1]}"


def _as_error(code, message):
    error = UserError(message)
    error.exit_code = code
    return error


def _start(name, each, function, arguments, place="SPREAD"):
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
    remote = ray.remote(max_calls=1)(_in_worker).options(**options)
    return remote.remote(os.getcwd(), function, arguments)


def _in_worker(folder, function, arguments):
    """Make a call in this process: (exit code, what it returned or what went wrong)."""
    said = []

    def main():
        if os.path.isdir(folder):
            os.chdir(folder)
        module, name = function.split(":")
        try:
            said.append(getattr(importlib.import_module(module), name)(*arguments))
        except UserError as error:
            said.append(str(error))
            return error.exit_code
        except Exception as error:
            traceback.print_exc()
            said.append(f"{type(error).__name__}: {one_line(error)}")
            return 1

    end_at_once()
    code = endings.guarded(main, endings.GOES_ON)()
    return code, said[0] if said else f"it ended with exit code {code}"


def end_at_once():
    """Let this process end without the end of C++: threads still use what that frees, and it would abort aloud."""
    with contextlib.suppress(AttributeError):  # another libc
        libc = ctypes.CDLL(None)
        libc.__cxa_atexit(libc._exit, None, None)


def _outcome(reference, ray):
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


def _next(running, each, workers=1):
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
def _stopping(running):
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
