"""Shared by all tests: caches of their own, one run that they all look at, and what the tests took."""

import io
import os
import shutil
import signal
import sys
import tempfile

import pytest
import times
import turns
from command_line import MIRRORED, QUICK, new_config
from filelock import FileLock
from rich.console import Console
from xla import quick_flags

# A shell's background job ignores Ctrl-C and hands that on to the programs that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Command lines that tests run in their own process must not replace it.
os.environ["CIFAR_JAX_TUNING"] = "as it is"
# A fifth less of a test's time, most of which is XLA's compilation; in float32 another rounding.
os.environ.setdefault("XLA_FLAGS", quick_flags(1))
# Workers and commands keep what Python compiles: a fifth of a minute each to rewrite the tests, another for libraries.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# One compilation cache for the whole session, none of the user's; set before JAX is imported. xdist's workers
# inherit that of the process that starts them. Who develops may keep it: CIFAR_JAX_TEST_CACHE=DIR.
if "PYTEST_XDIST_WORKER" not in os.environ:
    if not (_caches := os.environ.get("CIFAR_JAX_TEST_CACHE")):
        _temporary = tempfile.TemporaryDirectory(prefix="cifar_jax_tests_")
        _caches = _temporary.name
    os.environ["XDG_CACHE_HOME"] = os.path.abspath(_caches)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = os.path.join(os.path.abspath(_caches), "xla")


@pytest.hookimpl(optionalhook=True)  # not there without xdist
def pytest_xdist_auto_num_workers(config):
    """One more than cores, as many tests wait for processes of their own; PYTEST_XDIST_AUTO_NUM_WORKERS goes before."""
    given = os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS")
    return int(given) if given else len(os.sched_getaffinity(0)) + 1


def pytest_configure(config):
    if config.option.markexpr != "thorough":
        os.environ.setdefault("CIFAR_JAX_FUZZ", "0.1")
    config.pluginmanager.register(times.Times(config), "times")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Property-based tests are of both tiers: a tenth of the examples in the first, all in the second. See turns.py."""
    if config.option.markexpr == "thorough":
        for item in items:
            if item.get_closest_marker("fuzz"):
                item.add_marker("thorough")
    turn = os.environ.get("CIFAR_JAX_TURN")
    if turn and config.option.markexpr in ("thorough", "parity"):
        items[:], others = turns.of_this_turn(items, turn)
        config.hook.pytest_deselected(items=others)


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


@pytest.fixture
def quick_config():
    """Digits, basic_net, two epochs: a checked config for runs inside the test process."""
    return new_config(QUICK)


@pytest.fixture(scope="module")
def module_config():
    """quick_config for a run that all tests of a file look at."""
    return new_config(QUICK)


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


@pytest.fixture
def no_figures(monkeypatch):
    """Of a sweep: Matplotlib takes longer than one of a few steps."""
    from cifar_jax.sweep import driver

    monkeypatch.setattr(driver.figures, "write", lambda *_: None)
    monkeypatch.setattr(driver.figures, "bars", lambda *_: None)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """(name, make) -> a folder that the first process to ask for it makes, by make(folder), for the whole session."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def made_once(name, make):
        folder, partial = base / "shared" / name, base / "shared" / f"{name}.partial"
        folder.parent.mkdir(exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                shutil.rmtree(partial, ignore_errors=True)
                make(partial)
                partial.rename(folder)
        return folder

    return made_once


@pytest.fixture(scope="module")
def chromium():
    """A browser; without one on this machine its tests are skipped."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)  # fmt: skip
    if path is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def workdir(made_once):
    """The folder of a run of basic_net on the digits, whose evaluation mirrors; tests leave it as it is."""

    def make(folder):
        from cifar_jax import train

        train.train_and_evaluate(new_config(MIRRORED), folder / "run", Console(file=io.StringIO()))

    return made_once("mirrored", make) / "run"


@pytest.fixture(scope="session")
def pair(made_once):
    """Folders of two runs of QUICK, run_0 and run_1, that hold out other images; tests leave them as they are."""

    def make(folder):
        from cifar_jax import train

        for seed in (0, 1):
            config = new_config((*QUICK, f"--config.seed={seed}"))
            config.dataset.split_seed = seed
            train.train_and_evaluate(config, folder / f"run_{seed}", Console(file=io.StringIO()))

    folder = made_once("pair", make)
    return folder / "run_0", folder / "run_1"


@pytest.fixture(scope="module")
def run(workdir):
    """The run of `workdir`, opened."""
    from cifar_jax import trained

    return trained.open_run(workdir)
