"""jax.jit for what a test runs once or twice: quick to compile.

The machine code is not optimised, which takes half the time, and what is fused goes through XLA's older emitter, not
through MLIR: of what is left that takes a quarter.
"""

from functools import partial

import jax

quick_jit = partial(
    jax.jit,
    compiler_options={
        "xla_backend_optimization_level": 0,
        "xla_cpu_use_fusion_emitters": False,
    },
)
