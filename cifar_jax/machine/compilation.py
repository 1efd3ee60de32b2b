"""XLA's options: jax.jit as our programs are compiled."""

import functools
import operator
import os

import jax

from cifar_jax.machine import huge_pages

# All that XLA gives to the YNNPACK library by default, but for convolutions: its own (Eigen's) are up to four times
# faster on the CPUs that we measured, docs/performance.md.
CPU_OPTIONS = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT,LIBRARY_FUSION_TYPE_REDUCE"
}
# For a program that runs once or seldom: resnet18_dw's initial state takes 2.0 s of CPU time, not 4.3 (jax 0.10.2).
ONCE_OPTIONS = {
    "xla_backend_optimization_level": 1,
    "xla_cpu_opt_preset": "CPU_OPT_PRESET_FAST_COMPILE",
}


@functools.cache
def compiler_options():
    """Return XLA's options for what takes a run's time: CPU_OPTIONS; none as of `usable` or CIFAR_JAX_TUNING=off."""
    return {} if huge_pages.is_off(os.environ) else usable(CPU_OPTIONS)


@functools.cache
def once_options():
    """Return XLA's options for a program that runs once or seldom: of ONCE_OPTIONS those that are `usable`."""
    each = (usable({name: value}) for name, value in ONCE_OPTIONS.items())
    return functools.reduce(operator.or_, each)


def usable(options):
    """Return options of XLA's CPU compiler, or none of them.

    None on accelerators, where the user's own XLA_FLAGS name one, and with a version of XLA that does not know one.
    """
    named = any(name in os.environ.get("XLA_FLAGS", "") for name in options)
    if jax.default_backend() != "cpu" or named:
        return {}
    try:
        jax.jit(lambda: 0, compiler_options=options)()
    except jax.errors.JaxRuntimeError:
        return {}
    return options


def jit(function, **options):
    """Compile as jax.jit, with `compiler_options`."""
    return jax.jit(function, compiler_options=compiler_options(), **options)


def jit_once(function, **options):
    """Compile as jax.jit, for what runs once, or once an epoch in no time: optimised less, with the same bits."""
    return jax.jit(function, compiler_options=once_options(), **options)
