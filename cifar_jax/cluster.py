"""Several processes as one run: how they find each other, who writes, what they agree on, how they end together.

Without flags, and where the environment tells of one process only, nothing happens and nothing is imported.
"""

import contextlib
import dataclasses
import itertools
import os
import re
import subprocess
import sys
import time
import traceback
import zlib

from cifar_jax import command_line
from cifar_jax.errors import ConfigError, LostProcess, UserError

JOIN_SECONDS = 300  # for all processes to start
HEARTBEAT_SECONDS = 30  # a process that is silent for so long is taken for dead
GOODBYE_SECONDS = 20  # for the others to end with the same error
LINGER_SECONDS = 5  # for the others to tell of a loss, before the first process goes

# What collectives and barriers say where another process is gone.
LOST = re.compile(
    r"Gloo \S+ failed|NCCL|CoordinationService|coordination service|UNAVAILABLE|DEADLINE_EXCEEDED"
)

# Prints the last line that it was given; started beside a process, it speaks when that has ended. Slurm signals what a
# process has started, too.
SPEAKER = """trap '' HUP INT TERM
while IFS= read -r line; do words=$line; done
[ -z "$words" ] || echo "$words" >&2"""

_barriers = itertools.count()


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a process stands among those of its run; None where JAX is to detect it."""

    coordinator: str | None = None
    processes: int | None = None
    process: int | None = None


def define_flags(values):
    """Defines --coordinator, --processes, --process and --distributed in absl's FlagValues."""
    from absl import flags

    flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0.", flag_values=values)
    flags.DEFINE_integer("processes", None, "Of the run.", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("process", None, "This one.", lower_bound=0, flag_values=values)
    flags.DEFINE_boolean("distributed", None, "Detect the processes.", flag_values=values)


def place(flags, environment):
    """The Place that flags or the environment give; None for a run of one process.

    Args:
        flags: absl FlagValues with the flags of `define_flags`.
        environment: dict, such as os.environ.
    Raises:
        ConfigError: the flags don't name one place.
    """
    given = (flags.coordinator, flags.processes, flags.process)
    if given != (None, None, None):
        if None in given:
            raise ConfigError(
                "--coordinator=HOST:PORT, --processes=N and --process=I go together, such as "
                "--coordinator=10.0.0.1:4321 --processes=2 --process=0"
            )
        if flags.process >= flags.processes:
            raise ConfigError(
                f"--process={flags.process} is none of {flags.processes}; they count from 0"
            )
        if not re.fullmatch(r".+:\d+", flags.coordinator):
            raise ConfigError(
                f"--coordinator={flags.coordinator} is no HOST:PORT, such as 10.0.0.1:4321"
            )
        return Place(*given) if flags.processes > 1 else None
    detect = tells_of_several(environment) if flags.distributed is None else flags.distributed
    return Place() if detect else None


def tells_of_several(environment):
    """Whether Slurm's srun, Open MPI's mpirun or GKE's TPU pods started this process beside others.

    Those are what JAX detects by the environment alone. TPU VMs and Kubernetes have to be asked over the network, as
    --distributed does.
    """

    def several(name):
        return environment.get(name, "").isdecimal() and int(environment[name]) > 1

    in_step = {"SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_PROCID", "SLURM_LOCALID"}
    slurm = several("SLURM_NTASKS") and in_step <= environment.keys()
    open_mpi = several("OMPI_COMM_WORLD_SIZE") and "OMPI_MCA_orte_hnp_uri" in environment
    workers = environment.get("TPU_PROCESS_ADDRESSES") or environment.get("TPU_WORKER_HOSTNAMES")
    return slurm or open_mpi or "," in (workers or "") or several("MEGASCALE_NUM_SLICES")


@contextlib.contextmanager
def joined(where):
    """Makes this process one of a run of several, from here to the end, which comes to all of them.

    Has to come before anything touches a device. All but the first process have no standard output from then on. An
    error that all processes meet is raised. After one of this process's own, or the loss of another one, the process
    is over: it says why and exits.

    Args:
        where: Place; None for a run of one process: nothing happens.
    Raises:
        UserError: the environment doesn't say where this process stands.
    """
    if where is None:
        yield
        return
    with _last_words() as say_at_death:
        say_at_death(f"error: {_cannot_join(where)}")
        _initialize(where)
        say_at_death(
            f"error: {_name()} ended without a word: it was killed, or JAX ended it because another one was gone (then "
            "JAX says so above). The same command goes on from the last checkpoint, if any."
        )
        import jax

        try:
            _meet()
            yield
        except BaseException as error:
            if is_loss(error) or not _all_arrive("end", GOODBYE_SECONDS):
                code = _report(error)
                say_at_death("")
                _exit(code)
            jax.distributed.shutdown()
            raise
        jax.distributed.shutdown()


def several():
    """Whether the run has several processes."""
    jax = sys.modules.get("jax")
    return bool(jax) and jax.distributed.is_initialized() and jax.process_count() > 1


def is_first():
    """Whether this process is the one that writes."""
    return not several() or sys.modules["jax"].process_index() == 0


def in_turns(function):
    """Calls a function in every process: in the first, then in the first of every other host, then in the rest.

    So what it puts on a disk is put there once, whether the hosts share the disk or not; who comes later finds it.

    Returns:
        what the function does in this process.
    Raises:
        what the function does, once all have had their turn.
    """
    if not several():
        return function()
    import jax

    mine, result, failure = turn(_hosts(), jax.process_index()), None, None
    for each in range(3):
        if each == mine:
            try:
                result = function()
            except UserError as error:
                failure = error
        _wait(f"turn_{each}", 24 * 3600)  # a download may take long; who dies in it is noticed
    if failure:
        raise failure
    return result


def turn(hosts, process):
    """When a process has its turn: 0, 1 or 2, see `in_turns`.

    Args:
        hosts: a list with what tells each process's host from others.
        process: its place in the list.
    """
    if process == 0:
        return 0
    return 1 if hosts.index(hosts[process]) == process else 2


def signal_of_any(caught):
    """The first signal in `caught`, or in that of the first process that caught one: the same in all; 0 for none.

    Args:
        caught: list of int, as of runtime.catch_signals.
    """
    mine = caught[0] if caught else 0
    if not several():
        return mine
    import numpy as np
    from jax.experimental import multihost_utils

    numbers = multihost_utils.process_allgather(np.int32(mine))
    return int(next((number for number in numbers if number), 0))


def of_first(tree):
    """The first process's values of a pytree of arrays, in all processes."""
    if not several():
        return tree
    from jax.experimental import multihost_utils

    return multihost_utils.broadcast_one_to_all(tree)


def _initialize(where):
    import jax

    jax.config.update("jax_enable_preemption_service", False)  # it takes SIGTERM for itself
    try:
        jax.distributed.initialize(
            where.coordinator,
            where.processes,
            where.process,
            cluster_detection_method="deactivate" if where.coordinator else None,
            initialization_timeout=JOIN_SECONDS,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except Exception as error:  # each kind of cluster raises others
        raise ConfigError(
            f"JAX can't tell this process's place in a cluster ({error}); give --coordinator=HOST:PORT --processes=N "
            "--process=I, or --nodistributed for a run of one process"
        ) from error


def _meet():
    """The first collective, in which gloo greets; then only the first process keeps its standard output."""
    from jax.experimental import multihost_utils

    sys.stdout.flush()
    terminal, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    multihost_utils.sync_global_devices("cifar_jax")
    if is_first():
        os.dup2(terminal, 1)
    os.close(terminal)
    os.close(nowhere)


def _cannot_join(where):
    if not where.coordinator:
        return f"the processes of the run did not find each other within {JOIN_SECONDS} s; see what JAX says above"
    if where.process == 0:
        return (
            f"not all of the {where.processes} processes joined at {where.coordinator} within {JOIN_SECONDS} s: were "
            "all started, with the same --coordinator, and is its port free and open to them?"
        )
    return (
        f"process {where.process} of {where.processes} could not join at {where.coordinator} within {JOIN_SECONDS} s: "
        "is process 0 running there, and its port open to this host?"
    )


def _name():
    import jax

    return f"process {jax.process_index()} of {jax.process_count()}"


def _hosts():
    import platform

    import numpy as np
    from jax.experimental import multihost_utils

    name = zlib.crc32(platform.node().encode())
    return multihost_utils.process_allgather(np.uint32(name)).tolist()


def _wait(name, seconds):
    """Waits until all processes are here."""
    from orbax.checkpoint import multihost

    key = f"cifar_jax_{name}_{next(_barriers)}"
    multihost.get_barrier_sync_fn()(key=key, timeout_ms=int(1000 * seconds))


def _all_arrive(name, seconds):
    try:
        _wait(name, seconds)
    except Exception:  # of several types: too late, or somebody is gone
        return False
    return True


def is_loss(error):
    """Whether an error, or what it came from, is the loss of another process."""
    while error is not None:
        if not isinstance(error, UserError) and LOST.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def _report(error):
    """Prints an error as the command line does; returns the exit code."""
    if is_loss(error):
        error = LostProcess(
            f"{_name()} lost another one, which was killed or ended with an error of its own. The same command goes on "
            "from the last checkpoint, if any, also with another number of processes."
        )

    def again():
        raise error

    try:
        return command_line.guarded(again, command_line.GOES_ON)()
    except Exception:
        traceback.print_exception(error)
        return 1


def _exit(code):
    """Ends the process at once: at a normal end it would wait for those that are gone."""
    sys.stdout.flush()
    sys.stderr.flush()
    if is_first():  # it is whom JAX asks for the others: without it, JAX would end them unheard
        time.sleep(LINGER_SECONDS)
    os._exit(code)


@contextlib.contextmanager
def _last_words():
    """Yields a function that takes a line to be printed to stderr should this process end within the context.

    However it ends: JAX aborts a process that misses another one, with a page of C++ and no way to catch it.
    """
    with subprocess.Popen(
        ["sh", "-c", SPEAKER], stdin=subprocess.PIPE, start_new_session=True
    ) as speaker:

        def say_at_death(line):
            with contextlib.suppress(BrokenPipeError):  # somebody killed it
                os.write(speaker.stdin.fileno(), f"{line}\n".encode())

        try:
            yield say_at_death
        finally:
            say_at_death("")
