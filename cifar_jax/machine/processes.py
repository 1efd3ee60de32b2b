"""Several processes as one run: who writes, and what they agree on; how they become one is in `joining`.

In a run of one process nothing happens and nothing is imported.
"""

import itertools
import sys
import zlib

from cifar_jax.errors import UserError

_barriers = itertools.count()


def several():
    """Tell whether the run has several processes."""
    jax = sys.modules.get("jax")
    return bool(jax) and jax.distributed.is_initialized() and jax.process_count() > 1


def is_first():
    """Tell whether this process is the one that writes."""
    return not several() or sys.modules["jax"].process_index() == 0


def in_turns(function):
    """Call a function in every process: in the first, then in the first of every other host, then in the rest.

    So what the function puts on a disk is put there once, whether the hosts share the disk or not.

    Returns:
        what the function does in this process.
    Raises:
        what the function does, once all have had their turn.
    """
    if not several():
        return function()
    import jax

    my_turn, result, failure = turn(_hosts(), jax.process_index()), None, None
    for each in range(3):
        if each == my_turn:
            try:
                result = function()
            except UserError as error:
                failure = error
        wait(f"turn_{each}", 24 * 3600)  # a download may take long; who dies in it is noticed
    if failure:
        raise failure
    return result


def turn(hosts, process):
    """Return a process's turn: 0, 1 or 2, see `in_turns`.

    Args:
        hosts: a list with what tells each process's host from others.
        process: its place in the list.
    """
    if process == 0:
        return 0
    return 1 if hosts.index(hosts[process]) == process else 2


def signal_of_any(caught):
    """Return the first signal in `caught`, or that of the first process that caught one, in all processes; 0 for none.

    Args:
        caught: list of int, as of runtime.catch_signals.
    """
    own = caught[0] if caught else 0
    if not several():
        return own
    import numpy as np
    from jax.experimental import multihost_utils

    numbers = multihost_utils.process_allgather(np.int32(own))
    return int(next((number for number in numbers if number), 0))


def of_first(tree):
    """Return the first process's values of a pytree of arrays, in all processes."""
    if not several():
        return tree
    from jax.experimental import multihost_utils

    return multihost_utils.broadcast_one_to_all(tree)


def wait(name, seconds):
    """Return when all processes have come here.

    Args:
        name: of the place, the same in all of them.
        seconds: to wait for the others.
    Raises:
        Exception: of several types: it took longer, or one of them is gone.
    """
    from orbax.checkpoint import multihost

    key = f"cifar_jax_{name}_{next(_barriers)}"
    multihost.get_barrier_sync_fn()(key=key, timeout_ms=int(1000 * seconds))


def _hosts():
    import platform

    import numpy as np
    from jax.experimental import multihost_utils

    name = zlib.crc32(platform.node().encode())
    return multihost_utils.process_allgather(np.uint32(name)).tolist()
