"""JAX's variables of the environment that would change numbers or what is said, by what they are about."""

VARIABLES = {
    "x64": {"JAX_ENABLE_X64": "1"},
    "random": {"JAX_DEFAULT_PRNG_IMPL": "rbg", "JAX_ENABLE_CUSTOM_PRNG": "1", "JAX_RANDOM_SEED_OFFSET": "3"},
    "promotion": {"JAX_NUMPY_DTYPE_PROMOTION": "strict", "JAX_NUMPY_RANK_PROMOTION": "raise"},
    "debug": {"JAX_DEBUG_NANS": "1", "JAX_DISABLE_JIT": "1", "JAX_CHECK_TRACER_LEAKS": "1", "JAX_ENABLE_CHECKS": "1"},
    "logs": {"JAX_LOG_COMPILES": "1", "JAX_LOGGING_LEVEL": "INFO", "JAX_TRACEBACK_FILTERING": "off"},
    "optimization": {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "JAX_THREEFRY_PARTITIONABLE": "0"},
}  # fmt: skip
