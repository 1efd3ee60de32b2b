"""JAX's settings that decide a run's numbers, or whether its programs can be made: the environment has no say in them.

Each setting is a variable of the environment, too: jax_enable_x64 is JAX_ENABLE_X64. With that one a scan can't be
traced and a loop has other numbers; with JAX_DEFAULT_PRNG_IMPL a checkpoint's key does not fit. What is not listed here
was looked at in tests/test_environment.py: devices, caches, logs and messages, which are the user's.
"""

import contextlib

from cifar_jax.errors import ConfigError

# Those that have a context manager of JAX's, `jax.NAME(value)`, which concerns one thread: all that a program calling
# `train_and_evaluate` can have set for itself.
CONTEXTS = {
    "enable_x64": False,
    "enable_custom_prng": False,
    "default_prng_impl": "threefry2x32",
    "threefry_partitionable": True,
    "legacy_prng_key": "allow",
    "debug_key_reuse": False,
    "default_matmul_precision": None,
    "softmax_custom_jvp": False,
    "numpy_dtype_promotion": "standard",
    "numpy_rank_promotion": "allow",
    "debug_nans": False,
    "debug_infs": False,
    "disable_jit": False,
    "enable_checks": False,
    "no_tracing": False,
    "no_execution": False,
    "thread_guard": False,
    "transfer_guard": "allow",
    "transfer_guard_host_to_device": "allow",
    "transfer_guard_device_to_device": "allow",
    "transfer_guard_device_to_host": "allow",
}

OFF = (
    "jax_check_tracer_leaks", "jax_disable_most_optimizations", "jax_threefry_gpu_kernel_lowering",
    "jax_high_dynamic_range_gumbel", "jax_accurate_erf_inv", "jax_custom_jvp3", "jax_custom_vjp3", "jax_remat3",
    "jax_scan3", "jax_remat_barrier_no_cotangents", "jax_refs_to_pins", "jax_use_simplified_jaxpr_constants",
    "jax_use_emit_pipeline_primitive", "jax_remove_size_one_mesh_axis_from_type", "jax_check_static_indices",
    "jax_disallow_mesh_context_manager", "jax_enable_pgle", "jax_mock_gpu_topology",
    "jax_experimental_unsafe_xla_runtime_errors", "jax_use_cpp_shard_args", "jax2tf_associative_scan_reductions",
    "jax_export_ignore_forward_compatibility", "eager_constant_folding", "check_vma", "flax_fix_rng_separator",
    "flax_return_frozendict", "flax_preserve_adopted_names",
)  # fmt: skip
ON = (
    "jax_use_direct_linearize", "jax_use_shardy_partitioner", "jax_compiler_enable_remat_pass",
    "jax_allow_f16_reductions", "jax_auto_pcast", "jax_use_rgv3", "jax_sort_devices_by_process_index",
    "jax_mutable_array_checks", "jax2tf_default_native_serialization",
)  # fmt: skip
# Setting -> what it is without a variable.
DECISIVE = {
    **{f"jax_{name}": value for name, value in CONTEXTS.items()},
    **dict.fromkeys(OFF, False),
    **dict.fromkeys(ON, True),
    "jax_random_seed_offset": 0,
    "jax_explicit_x64_dtypes": 1,
    "jax_optimization_level": "UNKNOWN",
    "jax_memory_fitting_level": "O2",
    "jax_memory_fitting_effort": 0.0,
    "jax_exec_time_optimization_effort": 0.0,
    "jax_use_hlo_logistic_lowering": None,
    "jax_array_garbage_collection_guard": None,
}
# What JAX and Flax take for a switch's off and on.
WORDS = {
    False: ("", "0", "n", "no", "f", "false", "off"),
    True: ("1", "y", "yes", "t", "true", "on"),
}


def drop(environment, say):
    """Take the variables of DECISIVE settings out of an environment, before JAX reads it.

    Args:
        environment: dict, such as os.environ.
        say: gets one line where any of them asked for something.
    """
    asked = []
    for name, default in DECISIVE.items():
        text = environment.pop(name.upper(), None)
        if text is not None and not _means(text, default):
            asked.append(f"{name.upper()}={text}")
    if asked:
        listed = ", ".join(asked)
        say(f"not heeded: {listed}, as the numbers are the same whatever the environment")


def _means(text, default):
    """Tell whether a variable's text is a setting's default."""
    words = WORDS[default] if isinstance(default, bool) else ("", str(default).lower())
    return text.lower() in words


@contextlib.contextmanager
def pinned():
    """Keep decisive settings at their defaults within, for this thread and no other of the program.

    A command's process has no other settings, see `drop`; this is for programs that call us.

    Raises:
        ConfigError: a setting that only the whole process can have.
    """
    import jax

    if offset := jax.config.jax_random_seed_offset:
        raise ConfigError(
            f"this process draws other random numbers than any other (jax_random_seed_offset={offset}): leave that out"
        )
    with contextlib.ExitStack() as stack:
        for name, value in CONTEXTS.items():
            now = getattr(jax.config, f"jax_{name}", None)
            if now is not None and now != value:
                stack.enter_context(getattr(jax, name)(value))
        yield
