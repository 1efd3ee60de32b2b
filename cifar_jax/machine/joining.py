"""The processes of a run find each other, and end together."""

import contextlib
import os
import re
import subprocess
import sys
import time
import traceback

from cifar_jax.console import endings
from cifar_jax.errors import ConfigError, LostProcess, UserError
from cifar_jax.machine import processes

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


@contextlib.contextmanager
def joined(where):
    """Make this process one of a run of several, from here to the end, which comes to all of them.

    Has to come before anything touches a device. All but the first process have no standard output from then on. An
    error that all processes meet is raised. After one of this process's own, or the loss of another one, the process
    is over: it says why and exits.

    Args:
        where: places.Place; None for a run of one process: nothing happens.
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
            "--process=I, or --nodistributed for a run of one process; a plugin must compute nothing while it "
            "is imported"
        ) from error


def _meet():
    """Run the first collective, in which gloo greets; from then on only the first process has a standard output."""
    from jax.experimental import multihost_utils

    sys.stdout.flush()
    terminal, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    multihost_utils.sync_global_devices("cifar_jax")
    if processes.is_first():
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


def _all_arrive(name, seconds):
    try:
        processes.wait(name, seconds)
    except Exception:  # of several types: too late, or somebody is gone
        return False
    return True


def is_loss(error):
    """Tell whether an error, or one that it came from, is the loss of another process."""
    while error is not None:
        if not isinstance(error, UserError) and LOST.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def _report(error):
    """Print an error as the command line does and return the exit code."""
    if is_loss(error):
        error = LostProcess(
            f"{_name()} lost another one, which was killed or ended with an error of its own. The same command goes on "
            "from the last checkpoint, if any, also with another number of processes."
        )

    def again():
        raise error

    try:
        return endings.guarded(again, endings.GOES_ON)()
    except Exception:
        traceback.print_exception(error)
        return 1


def _exit(code):
    """End the process at once: at a normal end it would wait for those that are gone."""
    sys.stdout.flush()
    sys.stderr.flush()
    if processes.is_first():  # JAX asks it for the others, and would end them unheard without it
        time.sleep(LINGER_SECONDS)
    os._exit(code)


@contextlib.contextmanager
def _last_words():
    """Yield a function that takes a line to be printed to stderr should this process end within the context.

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
