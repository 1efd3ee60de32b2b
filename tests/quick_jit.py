"""jax.jit for what a test runs once or twice: the machine code is not optimised, which takes half the time."""

from functools import partial

import jax

quick_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
