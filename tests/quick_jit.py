"""jax.jit for what a test runs once or twice: quick to compile, and slow to run."""

from functools import partial

import jax

UNOPTIMISED = {"xla_backend_optimization_level": 0}  # takes half the time

quick_jit = partial(jax.jit, compiler_options={**UNOPTIMISED, "xla_cpu_use_fusion_emitters": True})

# Of what is left XLA's older emitter takes a quarter. It rounds otherwise, which float64 does not mind; in float32
# some deep networks' gradients differ by per cents.
quick_jit_float64 = partial(
    jax.jit, compiler_options={**UNOPTIMISED, "xla_cpu_use_fusion_emitters": False}
)
