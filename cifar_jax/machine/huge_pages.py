"""Huge pages, which make JAX faster on a CPU, but have to be asked for before the process starts.

Up to a third of a training step went into page faults: XLA allocates the arrays of each step anew, and glibc hands
them out in pages of 4 KiB. In huge pages resnet18_dw took 305 instead of 474 ms a step (docs/performance.md). glibc
reads the setting when a process starts, so a command line that trains replaces itself once by the same process with
the setting. CIFAR_JAX_TUNING=off leaves everything as it is, and a setting of the user's own always stays.
"""

import os
import pathlib
import platform
import sys

SWITCH = "CIFAR_JAX_TUNING"
TUNABLES, HUGE_PAGES = "GLIBC_TUNABLES", "glibc.malloc.hugetlb"
NAMES = (TUNABLES, SWITCH)  # of the variables that `restart` sets
FIRST_GLIBC = (2, 35)  # with that tunable


def restart():
    """Replace this process by itself with `settings`, where there are any.

    Only for the `__main__` of a command line: whoever else calls would find his process started again.
    """
    changes = settings(os.environ, machine_has_use())
    if changes and sys.executable:
        arguments = [sys.executable, *sys.orig_argv[1:]]
        os.execve(sys.executable, arguments, {**os.environ, **changes})


def settings(environment, useful):
    """Return the environment variables to set: a dict, empty where all is as it should be.

    Args:
        environment: dict, the process's own.
        useful: of `machine_has_use`.
    """
    tunables = environment.get(TUNABLES, "")
    if not useful or SWITCH in environment or HUGE_PAGES in tunables:
        return {}
    setting = f"{HUGE_PAGES}=1"
    return {TUNABLES: f"{tunables}:{setting}" if tunables else setting, SWITCH: setting}


def is_off(environment):
    """Tell whether the user wants nothing of this kind."""
    return environment.get(SWITCH) == "off"


def machine_has_use(root="/"):
    """Tell whether the machine gives huge pages to who asks (not to all or none), and JAX will run on the CPU.

    Args:
        root: folder of /sys and /dev.
    """
    root = pathlib.Path(root)
    accelerators = (
        *root.glob("dev/nvidia[0-9]*"),
        *root.glob("dev/accel*"),
        *root.glob("dev/vfio/[0-9]*"),
    )
    name, version = platform.libc_ver()
    try:
        pages = (root / "sys/kernel/mm/transparent_hugepage/enabled").read_text()
        new_enough = tuple(map(int, version.split("."))) >= FIRST_GLIBC
    except (OSError, ValueError):
        return False
    return name == "glibc" and new_enough and "[madvise]" in pages and not accelerators


def remark(environment):
    """Say in a line what was set."""
    setting = environment.get(SWITCH, "")
    if "=" not in setting:
        return f"{TUNABLES} is as it was"
    return f"{TUNABLES}={setting} ({SWITCH}=off: without)"
