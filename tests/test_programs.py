"""The options that XLA compiles with."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from cifar_jax import train
from cifar_jax.machine import compilation

CHOSEN = (compilation.compiler_options, compilation.once_options)


@pytest.fixture
def fresh(monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    for options in CHOSEN:
        options.cache_clear()
    yield monkeypatch
    for options in CHOSEN:
        options.cache_clear()


def test_this_version_of_xla_knows_them(fresh):
    assert compilation.compiler_options() == compilation.CPU_OPTIONS
    assert compilation.once_options() == compilation.ONCE_OPTIONS


def test_never_over_the_users_own(fresh):
    fresh.setenv("XLA_FLAGS", "--xla_cpu_experimental_ynn_fusion_type=+individual_convolution")
    assert compilation.compiler_options() == {} and compilation.once_options()
    compilation.once_options.cache_clear()
    fresh.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")
    assert "xla_backend_optimization_level" not in compilation.once_options()


def test_other_flags_of_the_user_are_no_matter(fresh):
    fresh.setenv("XLA_FLAGS", "--xla_dump_to=/dev/null")
    assert compilation.compiler_options() == compilation.CPU_OPTIONS


def test_off(fresh):
    fresh.setenv("CIFAR_JAX_TUNING", "off")
    assert compilation.compiler_options() == {}


def test_accelerators_have_their_own(fresh):
    fresh.setattr(jax, "default_backend", lambda: "gpu")
    assert compilation.compiler_options() == compilation.once_options() == {}


@pytest.mark.thorough
def test_the_main_job_trains_with_a_version_that_knows_none(fresh, small_config, tmp_path):
    for name in ("CPU_OPTIONS", "ONCE_OPTIONS"):
        fresh.setattr(compilation, name, {"xla_cpu_no_such_option": 1})
    summary = train.train_and_evaluate(small_config, tmp_path / "run", Console(file=io.StringIO()))
    assert compilation.compiler_options() == compilation.once_options() == {}
    assert summary["steps"] == 40 and summary["test_accuracy"] > 0


def test_they_reach_the_compiler_and_change_no_value(fresh):
    """The convolution is no call of the library any more."""
    x, kernel = jnp.ones((8, 16, 16, 32)), jnp.full((3, 3, 32, 32), 0.01)

    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    texts = [
        jit(convolve).lower(x, kernel).compile().as_text() for jit in (jax.jit, compilation.jit)
    ]
    assert ["ynn" in text for text in texts] == [True, False]
    ours, default = compilation.jit(convolve)(x, kernel), jax.jit(convolve)(x, kernel)
    np.testing.assert_allclose(ours, default, rtol=1e-5)
