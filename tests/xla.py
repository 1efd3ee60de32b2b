"""What the tests tell XLA, so that it compiles quickly: only what this version of it knows.

An unknown name in XLA_FLAGS ends a process, and each version has other names.
"""

import os
import subprocess
import sys

# XLA's older emitter compiles a quarter faster, and rounds otherwise.
OLDER_EMITTER = "--xla_cpu_use_fusion_emitters=false"
PROBED = "CIFAR_JAX_TEST_XLA_FLAGS"  # what is known, for the processes that this one starts


def quick_flags(level):
    """XLA_FLAGS for a process that optimises its machine code at `level`, 0 to 3."""
    return " ".join([f"--xla_backend_optimization_level={level}", *_known()])


def _known():
    if PROBED not in os.environ:
        program = "import jax; jax.devices()"
        probe = subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"XLA_FLAGS": OLDER_EMITTER, "JAX_PLATFORMS": "cpu"},
            capture_output=True,
        )
        os.environ[PROBED] = "" if probe.returncode else OLDER_EMITTER
    return os.environ[PROBED].split()
