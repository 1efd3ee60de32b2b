"""The options that XLA compiles with."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cifar_jax import programs


@pytest.fixture
def fresh(monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    programs.compiler_options.cache_clear()
    yield monkeypatch
    programs.compiler_options.cache_clear()


def test_this_version_of_xla_knows_them(fresh):
    assert programs.compiler_options() == programs.CPU_OPTIONS


def test_never_over_the_users_own(fresh):
    fresh.setenv("XLA_FLAGS", "--xla_cpu_experimental_ynn_fusion_type=+individual_convolution")
    assert programs.compiler_options() == {}


def test_other_flags_of_the_user_are_no_matter(fresh):
    fresh.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=1")
    assert programs.compiler_options() == programs.CPU_OPTIONS


def test_off(fresh):
    fresh.setenv("CIFAR_JAX_TUNING", "off")
    assert programs.compiler_options() == {}


def test_accelerators_have_their_own(fresh):
    fresh.setattr(jax, "default_backend", lambda: "gpu")
    assert programs.compiler_options() == {}


def test_a_version_that_does_not_know_them(fresh):
    fresh.setattr(programs, "CPU_OPTIONS", {"xla_cpu_no_such_option": "1"})
    assert programs.compiler_options() == {}


def test_they_reach_the_compiler_and_change_no_value(fresh):
    """The convolution is no call of the library any more."""
    x, kernel = jnp.ones((8, 16, 16, 32)), jnp.full((3, 3, 32, 32), 0.01)

    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    texts = [jit(convolve).lower(x, kernel).compile().as_text() for jit in (jax.jit, programs.jit)]
    assert ["ynn" in text for text in texts] == [True, False]
    ours, default = programs.jit(convolve)(x, kernel), jax.jit(convolve)(x, kernel)
    np.testing.assert_allclose(ours, default, rtol=1e-5)
