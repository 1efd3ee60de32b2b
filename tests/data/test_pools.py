"""Many calls on all cores: results in order, in threads and in processes."""

import concurrent.futures
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import textwrap
import time

import joblib
import pytest

from cifar_jax.data import image_files, pools


def test_threads_keep_the_order_and_do_not_run_ahead():
    asked = []

    def items():
        for n in range(500):
            asked.append(n)
            yield n

    pool = concurrent.futures.ThreadPoolExecutor(2)
    results = pools.from_pool(pool, lambda n: 2 * n, items(), ahead=6)
    assert next(results) == 0 and len(asked) <= 7
    assert list(results) == list(range(2, 1000, 2))


def test_few_items_start_no_process():
    assert set(pools.in_order(lambda _: os.getpid(), list(range(100)))) == {os.getpid()}


def test_without_semaphores_there_are_threads(monkeypatch):
    def refuse(*_, **__):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(joblib.externals.loky, "ProcessPoolExecutor", refuse)
    monkeypatch.setattr(pools, "MANY", 10)
    assert list(pools.in_order(lambda n: 2 * n, list(range(100)))) == list(range(0, 200, 2))


def test_what_can_not_be_read_crosses_to_another_process():
    error = image_files.Unreadable("a.png", "a folder, not a file")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.path, again.why) == (str(error), "a.png", "a folder, not a file")


def test_processes_keep_the_order_and_do_not_run_the_script_again(tmp_path):
    """Of a script without a guard, as a user's is, and of pictures that can't be read among the rest."""
    (tmp_path / "script.py").write_text(
        textwrap.dedent("""
            import functools, os
            from cifar_jax.data import image_files, pools

            print("once")
            pools.MANY, pools.CHUNK = 10, 3
            read = functools.partial(image_files.try_read, size=8)
            answers = list(pools.in_order(read, [f"{n}.png" for n in range(20)]))
            print([each.path for each in answers] == [f"{n}.png" for n in range(20)])
            print(set(pools.in_order(os.path.getsize, ["script.py"] * 20)))
            """)
    )
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    size = (tmp_path / "script.py").stat().st_size
    assert (done.stdout, done.stderr) == (f"once\nTrue\n{{{size}}}\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="there it is the system that ends them")
def test_processes_end_with_one_that_is_killed():
    program = """
        import multiprocessing, time
        from cifar_jax.data import pools

        pools.MANY, pools.CHUNK = 10, 1
        results = pools.in_order(bytes, [1_000_000] * 1000)  # more than a pipe holds
        next(results)
        print(*(each.pid for each in multiprocessing.active_children()), flush=True)
        time.sleep(600)
        """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        children = [int(each) for each in process.stdout.readline().split()]
        process.send_signal(signal.SIGKILL)
    assert children or (os.cpu_count() or 1) == 1
    stop = time.monotonic() + 30
    while any(_runs(each) for each in children):
        assert time.monotonic() < stop, children
        time.sleep(0.2)


def _runs(number):
    """Return whether a process of that number runs; one that ended may be there until somebody asks for its end."""
    try:
        os.kill(number, 0)
        status = pathlib.Path(f"/proc/{number}/stat").read_text()
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return not pathlib.Path("/proc").exists()
    return status.rpartition(")")[2].split()[0] != "Z"
