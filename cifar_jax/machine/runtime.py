"""The process a run lives in: compilation cache, signals, versions, hardware, memory."""

import contextlib
import importlib.metadata
import os
import pathlib
import platform
import signal
import sys
import threading

import jax

from cifar_jax.console import home
from cifar_jax.errors import UserError

PACKAGES = ("cifar-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
NVIDIA = pathlib.Path("/dev/nvidia0")  # the first GPU, once its driver is loaded


def cache_folder():
    """Return the user's cache folder of this package."""
    return home.caches() / "cifar_jax"


def enable_compilation_cache(setting):
    """Keep XLA's compiled programs on disk, so that a second start compiles nothing.

    Args:
        setting: config.compilation_cache: "auto", "off" or a folder. A folder that the user set
            through JAX_COMPILATION_CACHE_DIR stays with "auto".
    """
    if setting == "off":
        jax.config.update("jax_enable_compilation_cache", False)
        return
    if setting not in ("auto", ""):
        jax.config.update("jax_compilation_cache_dir", str(pathlib.Path(setting).expanduser()))
    elif not jax.config.jax_compilation_cache_dir:
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "xla"))
    folder = jax.config.jax_compilation_cache_dir
    # Such as the folder of who trained.
    if "://" not in folder and not home.writable(pathlib.Path(folder)):
        print(f"{folder} can't be written: compiled programs are not kept", file=sys.stderr)
        # JAX would warn of every program. What takes less time is not written, though read.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 1e9)
        jax.config.update("jax_enable_compilation_cache", os.access(folder, os.R_OK | os.X_OK))
        return
    # JAX leaves out what compiles fast; a start of a hundred small programs is slow all the same.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def versions():
    """Return the versions of Python and the packages that decide a run's numbers."""
    numbers = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            numbers[package] = importlib.metadata.version(package)
    return numbers


def processor():
    """Return the processor's name, as far as the system tells it."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def hardware():
    """Describe the devices in words, such as "1 x NVIDIA H200" or "AMD EPYC, 2 cores"."""
    devices, processes = jax.devices(), jax.process_count()
    hosts = f" of {processes} processes" if processes > 1 else ""
    if devices[0].platform != "cpu":
        return f"{len(devices)} x {devices[0].device_kind}{hosts}"
    # A container may be given fewer cores than the machine has.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    name = f"{processor()}, {cores} core{'s' * (cores != 1)}"
    return name if len(devices) == 1 else f"{name} as {len(devices)} devices{hosts}"


def unused_gpu():
    """Say that JAX doesn't use this machine's NVIDIA GPU, and what to install; "" where it does, or was told not to."""
    told = jax.config.jax_platforms or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if told or jax.default_backend() != "cpu" or not NVIDIA.exists():
        return ""
    return (
        "this machine has an NVIDIA GPU, which JAX doesn't use: pip install 'jax[cuda13]' (drivers before 580: "
        "'jax[cuda12]')"
    )


def peak_memory_bytes():
    """Return the peak memory: of the accelerator where it tells, else of this process; 0 where nothing tells."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in stats:
        return int(stats["peak_bytes_in_use"])
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def available_bytes():
    """Return the memory for arrays: most of that of this process's devices, or half of the host's (Windows: 4 GiB)."""
    devices = jax.local_devices()
    limits = [(device.memory_stats() or {}).get("bytes_limit") for device in devices]
    if devices[0].platform != "cpu" and all(limits):
        return 0.9 * min(limits) * len(devices)  # the rest is XLA's, for what no estimate knows
    if not hasattr(os, "sysconf"):
        return 4 * 2**30
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2


class Interrupted(UserError):
    """SIGTERM or Ctrl-C, after everything was saved; the exit code is the shell's 128 + signal."""

    opening = ""  # the user's wish, no error

    def __init__(self, message, number):
        super().__init__(message)
        self.exit_code = 128 + number


@contextlib.contextmanager
def catch_signals():
    """Note the first SIGTERM or SIGINT instead of acting on it; the second one ends the process.

    Outside the main thread, where Python allows no handlers, nothing is caught.

    Yields:
        a list that is empty, or holds the signal's number.
    """
    caught, before = [], {}

    def note(number, _):
        caught.append(number)
        # Not through Python's streams, which the interrupted code may be in the middle of using.
        os.write(2, b"\nstopping after this log interval; once more to stop at once, unsaved\n")
        restore()

    def restore():
        for each, handler in before.items():
            signal.signal(each, handler)

    if threading.current_thread() is threading.main_thread():
        for each in (signal.SIGTERM, signal.SIGINT):
            before[each] = signal.signal(each, note)
    try:
        yield caught
    finally:
        restore()
