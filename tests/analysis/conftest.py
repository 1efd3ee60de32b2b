"""What the tests of analysis share."""

import jax
import pytest


@pytest.fixture(autouse=True, scope="session")
def no_compilation_cache():
    """As for the tests of models: XLA crashed writing some of the many programs into the cache."""
    enabled = jax.config.jax_enable_compilation_cache
    jax.config.update("jax_enable_compilation_cache", False)
    yield
    jax.config.update("jax_enable_compilation_cache", enabled)
