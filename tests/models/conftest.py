"""What the tests of models share."""

import jax
import pytest


@pytest.fixture(autouse=True, scope="session")
def no_compilation_cache():
    """Programs here run in one process only, and hundreds of them: XLA crashed writing some of them into the cache."""
    enabled = jax.config.jax_enable_compilation_cache
    jax.config.update("jax_enable_compilation_cache", False)
    yield
    jax.config.update("jax_enable_compilation_cache", enabled)
