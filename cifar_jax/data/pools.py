"""Many calls of a function on all cores, their results in order: in threads, or in processes where that pays."""

import collections
import concurrent.futures
import functools
import itertools
import os
import threading
import time

# From so many items on processes are started, which takes a second. Much of reading a picture holds Python's lock,
# for which two threads wait.
MANY = 2_000
CHUNK = 64
AHEAD = 8  # calls asked for in advance, for each core


def in_order(function, items):
    """Yield function(item) of each item of a list, in order.

    Args:
      function: of a module's top level, or a partial of one, as it may be called in another process.
      items: a list of what pickle takes; so must be the results.
    """
    cores = os.cpu_count() or 1
    pool = _processes(cores) if len(items) >= MANY and cores > 1 else None
    if pool is None:
        threads = concurrent.futures.ThreadPoolExecutor(cores)
        yield from from_pool(threads, function, items, AHEAD * cores)
        return
    chunks = (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))
    of_chunk = functools.partial(_of_each, function)
    for results in from_pool(pool, of_chunk, chunks, AHEAD * cores):
        yield from results


def _processes(cores):
    """Make an executor of processes which, unlike multiprocessing's, do not run the user's script again.

    Returns:
      The executor; None where the system has no semaphores for one, as without /dev/shm.
    """
    from joblib.externals.loky import ProcessPoolExecutor

    try:
        return ProcessPoolExecutor(cores, initializer=_end_with, initargs=(os.getpid(),))
    except OSError:
        return None


def from_pool(pool, function, items, ahead):
    """Yield function(item) of each item in order, called by an executor, at most `ahead` in advance."""
    waiting, rest = collections.deque(), iter(items)
    with pool:
        for item in itertools.islice(rest, ahead):
            waiting.append(pool.submit(function, item))
        while waiting:
            done = waiting.popleft().result()
            for item in itertools.islice(rest, 1):
                waiting.append(pool.submit(function, item))
            yield done


def _of_each(function, items):
    return [function(item) for item in items]


def _end_with(parent):
    """End this process when the one that started it is gone; it would wait for ever for one that was killed."""

    def watch():
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
