"""Shared by all tests: caches of their own."""

import io
import os
import pathlib
import signal
import sys
import tempfile

import pytest
from command_line import QUICK, ROOT
from rich.console import Console

# A shell's background job ignores Ctrl-C and hands that on to the programs that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Command lines that tests run in their own process must not replace it.
os.environ["CIFAR_JAX_TUNING"] = "as it is"
# A fifth less of a test's time, most of which is XLA's compilation; in float32 another rounding.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=1 --xla_cpu_use_fusion_emitters=false"
)
# One compilation cache for the whole session, none of the user's; set before JAX is imported. xdist's workers
# inherit that of the process that starts them.
if "PYTEST_XDIST_WORKER" not in os.environ:
    _caches = tempfile.TemporaryDirectory(prefix="cifar_jax_tests_")
    os.environ["XDG_CACHE_HOME"] = _caches.name
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(pathlib.Path(_caches.name) / "xla")


@pytest.fixture(autouse=True, scope="module")
def no_programs_left_behind():
    """Hundreds of compiled programs in one process take gigabytes, and in the end crash it."""
    yield
    if jax := sys.modules.get("jax"):
        jax.clear_caches()


@pytest.fixture(autouse=True, scope="module")
def no_compilation_cache(request):
    """Of tests that compile hundreds of programs, for one process only: XLA crashed writing some into the cache."""
    if request.path.parent.name not in ("analysis", "models"):
        yield
        return
    import jax
    from jax.experimental.compilation_cache.compilation_cache import reset_cache

    enabled = jax.config.jax_enable_compilation_cache
    jax.config.update("jax_enable_compilation_cache", False)
    reset_cache()  # JAX looks at the setting once
    yield
    jax.config.update("jax_enable_compilation_cache", enabled)
    reset_cache()


def _quick_config():
    from cifar_jax import main

    arguments = ("--config", str(ROOT / "configs/quickstart.py"), "--workdir", "unused")
    return main.parse(["main", *arguments, *QUICK])[0]


@pytest.fixture
def quick_config():
    """Digits, basic_net, two epochs: a checked config for runs inside the test process."""
    return _quick_config()


@pytest.fixture(scope="module")
def module_config():
    """quick_config for a run that all tests of a file look at."""
    return _quick_config()


@pytest.fixture
def small_nets():
    """Lets small_net.py's be models as any other."""
    import small_net

    with small_net.registered():
        yield


@pytest.fixture
def small_config(quick_config, small_nets):
    """quick_config of a net that compiles in a second."""
    quick_config.model.name = "small_net"
    return quick_config


@pytest.fixture(scope="session")
def workdir(tmp_path_factory):
    """The folder of a run of basic_net on the digits, whose evaluation mirrors; tests leave it as it is."""
    from cifar_jax import train

    config, folder = _quick_config(), tmp_path_factory.mktemp("workdir") / "run"
    config.evaluation.flip = True
    train.train_and_evaluate(config, folder, Console(file=io.StringIO()))
    return folder


@pytest.fixture(scope="module")
def run(workdir):
    """The run of `workdir`, opened."""
    from cifar_jax import trained

    return trained.open_run(workdir)
