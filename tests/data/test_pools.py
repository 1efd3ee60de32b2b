"""Many calls on all cores: results in order, in threads and in processes."""

import concurrent.futures
import os
import pickle
import subprocess
import sys
import textwrap

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
