"""Calls in the workers of a Ray cluster: one after the other or side by side, and anew where a worker is lost.

Ray places the calls and starts a process for each; here is decided when one is started again.
"""

import os
import pathlib

from cifar_jax.errors import ConfigError, UserError
from cifar_jax.machine import ray_cluster

GOODBYE_SECONDS = 60  # for the processes of a run to notice that one is lost
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
    with ray_cluster.stopping(running):
        while waiting or running:
            while waiting and len(running) < workers:
                name = waiting.pop(0)
                running[ray_cluster.start(name, each, *calls[name])] = name
            reference = ray_cluster.next_ended(running, each)
            name = running.pop(reference)
            code, value = ray_cluster.outcome(reference, ray)
            if code == 0:
                values[name] = value
            elif attempts.again(name):
                ray_cluster.say(f"{name}: {value}; it is started again")
                waiting.append(name)
            else:
                failures[name] = value
                ray_cluster.say(f"{name}: {value}; it is given up")
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
        if len(set(codes)) == 1 and codes[0] is not ray_cluster.LOST:
            raise _as_error(*outcomes[0])
        why = f"process {first} of {workers}: {outcomes[first][1]}"
        if not attempts.again("run"):
            raise UserError(f"{why}; twice without a checkpoint between, so the run is given up")
        ray_cluster.say(f"{why}; all are started again")


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
        ray_cluster.next_ended(ready, each, workers)
        places = [PlacementGroupSchedulingStrategy(together, bundle) for bundle in range(workers)]
        task = ray.remote(ray_cluster.free_address).options(
            num_cpus=0, scheduling_strategy=places[0]
        )
        address = ray.get(task.remote())
        with ray_cluster.stopping(running):
            for process, place in enumerate(places):
                name = f"process {process}"
                given = arguments(address, process)
                running[ray_cluster.start(name, each, function, given, place)] = process
            references = list(running)
            ended, going = ray.wait(references)
            while going and ray_cluster.outcome(ended[-1], ray)[0] == 0:
                more, going = ray.wait(going)
                ended += more
            ray.wait(references, num_returns=workers, timeout=GOODBYE_SECONDS)
            for reference in references:
                ray.cancel(reference, force=True)
            running.clear()
            outcomes = [ray_cluster.outcome(reference, ray) for reference in references]
            return outcomes, references.index(ended[-1])
    finally:
        remove_placement_group(together)


def _as_error(code, message):
    error = UserError(message)
    error.exit_code = code
    return error
