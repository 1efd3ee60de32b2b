"""What may happen to a file, and to a disk."""

import os
import subprocess


def flip_bit(path, position=0.5):
    content = bytearray(path.read_bytes())
    content[int(len(content) * position)] ^= 4
    path.write_bytes(content)


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def empty(path):
    path.write_bytes(b"")


def delete(path):
    path.unlink()


DAMAGES = (flip_bit, truncate, empty, delete)


def files_of(folder, step):
    return sorted(path for path in (folder / str(step)).rglob("*") if path.is_file())


def arrays_of(folder, step):
    """The file that holds the greater part of the arrays."""
    return max(files_of(folder, step), key=lambda path: path.stat().st_size)


def clock_set_back(days):
    """A program, for `python -c`: the main job, its clock set back, and by a minute more each time it is asked."""
    return (
        "import itertools, time; real, asked = time.time, itertools.count(); "
        f"time.time = lambda: real() - {days} * 86400 - 60 * next(asked); "
        "time.time_ns = lambda: int(1e9 * time.time()); "
        "from cifar_jax import main; from cifar_jax.console import endings; endings.run(main.main)"
    )


def mount(folder, options):
    """Mounts a file system in memory on a folder, or changes the one there; returns what went wrong, or ""."""
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    return subprocess.run(command, capture_output=True, text=True).stderr.strip()


def unmount(folder):
    subprocess.run(["umount", str(folder)], capture_output=True)
