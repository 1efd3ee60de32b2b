"""jax.jit for what a test runs once or twice: quick to compile, and slow to run."""

import functools

import jax

UNOPTIMISED = {"xla_backend_optimization_level": 0}  # takes half the time


@functools.cache
def _knows(name, value):
    """Whether this XLA compiles with an option; of an unknown one it says so by an error."""
    try:
        jax.jit(lambda: 0, compiler_options={name: value})()
    except jax.errors.JaxRuntimeError:
        return False
    return True


def known(options):
    """Those of some compiler options that this XLA knows: from one version to the next some go."""
    return {name: value for name, value in options.items() if _knows(name, value)}


def quick_jit(function, **arguments):
    options = known({**UNOPTIMISED, "xla_cpu_use_fusion_emitters": True})
    return jax.jit(function, compiler_options=options, **arguments)


def quick_jit_float64(function, **arguments):
    """Of what is left XLA's older emitter takes a quarter, where there still is one.

    It rounds otherwise, which float64 does not mind; in float32 some deep networks' gradients differ by per cents.
    """
    options = known({**UNOPTIMISED, "xla_cpu_use_fusion_emitters": False})
    return jax.jit(function, compiler_options=options, **arguments)
