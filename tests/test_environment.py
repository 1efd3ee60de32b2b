"""The environment is not taken for granted: no home, a home that can't be written, JAX's variables."""

import contextlib
import functools
import io
import json
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
import warnings

import jax
import pytest
import small_net
from command_line import ROOT, SMALL, run_main
from jax_variables import VARIABLES
from nobody import NUMBER, run_as_nobody, start_as_nobody
from PIL import Image
from rich.console import Console
from small_archives import Archives
from test_command_lines import COMMANDS
from tiers import tiered

from cifar_jax import train, weights
from cifar_jax.config import jax_settings
from cifar_jax.console import endings, home
from cifar_jax.data import folders
from cifar_jax.errors import ConfigError, UserError
from cifar_jax.machine import runtime
from cifar_jax.sweep import cells, driver
from cifar_jax.train import inputs

# The versions of JAX whose settings were looked at, one by one.
LOOKED_AT = ("0.10.2", "0.12.0.1")
# Those that change no number and stop no program of ours: devices and hosts, caches, logs, messages and dumps, checks
# of what we have none of (references, Pallas kernels, MAGMA, sparse matrices, ppermute), how exported files are
# written, and what an error message shows.
LISTED = """
jax_backend_target jax_cpu_collectives_implementation jax_cpu_enable_async_dispatch
jax_cpu_get_global_topology_timeout_minutes jax_cpu_get_local_topology_timeout_minutes
jax_cross_host_transfer_socket_address jax_cross_host_transfer_timeout_seconds
jax_cross_host_transfer_transfer_size jax_cross_host_transport_addresses jax_cuda_visible_devices
jax_default_device jax_enable_preemption_service jax_enable_recoverability jax_force_dcn_cross_host_transfers
jax_num_cpu_devices jax_oneapi_visible_devices jax_pjrt_client_create_options jax_platform_name jax_platforms
jax_rocm_visible_devices jax_xla_backend mock_num_gpu_processes jax_check_proxy_envs jax_distributed_debug
jax_distributed_verify_secure_credentials jax_mtls_ca_file jax_mtls_cert_file jax_mtls_key_file
jax_mtls_peer_uri_prefix jax_share_binary_between_hosts jax_share_binary_between_hosts_timeout_ms
jax_debug_leaked_clients_on_clear_backends

jax_compilation_cache_check_contents jax_compilation_cache_dir jax_compilation_cache_expect_pgle
jax_compilation_cache_include_metadata_in_key jax_compilation_cache_max_size jax_enable_compilation_cache
jax_persistent_cache_enable_xla_caches jax_persistent_cache_min_compile_time_secs
jax_persistent_cache_min_entry_size_bytes jax_raise_persistent_cache_errors
jax_remove_custom_partitioning_ptr_from_cache_key

jax_captured_constants_report_frames jax_captured_constants_warn_bytes jax_compiler_detailed_logging_min_ops
jax_debug_log_modules jax_dump_ir_modes jax_dump_ir_to jax_explain_cache_misses
jax_hlo_source_file_canonicalization_regex jax_include_debug_info_in_dumps
jax_include_full_tracebacks_in_locations jax_log_checkpoint_residuals jax_log_compiles jax_logging_level
jax_pprint_use_color jax_send_traceback_to_runtime jax_source_url_schema jax_traceback_filtering
jax_traceback_in_locations_limit jax_tracer_error_num_traceback_frames jax_xla_profile_version
jax_disable_vmap_shmap_error jax_disable_bwd_checks jax_embedded_constants_max_bytes
jax_pgle_aggregation_percentile jax_pgle_profiling_runs

jax_bcoo_cusparse_lowering jax_error_checking_behavior_divide jax_error_checking_behavior_nan
jax_error_checking_behavior_oob jax_mosaic_allow_hlo jax_mosaic_unzip_debug_locations
jax_pallas_auto_assign_collective_ids jax_pallas_auto_assign_collective_ids_limit
jax_pallas_enable_debug_checks jax_pallas_poison_buffers jax_pallas_use_mosaic_gpu jax_pallas_verbose_errors
jax_ragged_dot_use_gpu_pallas_triton_lowering jax_ragged_dot_use_ragged_dot_instruction
jax_raise_on_ppermute_sort_diff jax_use_magma

jax_export_calling_convention_version jax_export_deserialize_expired_versions jax_serialization_version
"""
HARMLESS = set(LISTED.split())


# ---- JAX's variables


@pytest.mark.skipif(jax.__version__ not in LOOKED_AT, reason=f"JAX {jax.__version__} is new")
def test_every_setting_of_jax_was_looked_at():
    known = set(jax.config.values)
    assert known - jax_settings.DECISIVE.keys() - HARMLESS == set()
    assert not HARMLESS & jax_settings.DECISIVE.keys()


@pytest.mark.skipif(any(name.startswith("JAX_ENABLE") for name in os.environ), reason="one is set")
def test_what_we_take_for_jaxs_defaults_is_jaxs():
    values = {
        name: value for name, value in jax.config.values.items() if name in jax_settings.DECISIVE
    }
    unlike = {
        name: value
        for name, value in values.items()
        # A guard that is not set allows.
        if (value or "") != (jax_settings.DECISIVE[name] or "")
        and not (value is None and jax_settings.DECISIVE[name] == "allow")
    }
    assert unlike == {}


def test_variables_that_decide_numbers_are_taken_out_in_one_line():
    environment = {
        "JAX_ENABLE_X64": "1",
        "JAX_DEFAULT_PRNG_IMPL": "rbg",
        "JAX_THREEFRY_PARTITIONABLE": "True",
        "JAX_DISABLE_JIT": "off",
        "JAX_DEFAULT_MATMUL_PRECISION": "",
        "FLAX_FIX_RNG_SEPARATOR": "true",
        "JAX_PLATFORMS": "cpu",
    }
    said = []
    jax_settings.drop(environment, said.append)
    assert environment == {"JAX_PLATFORMS": "cpu"}
    (line,) = said
    assert "JAX_ENABLE_X64=1, JAX_DEFAULT_PRNG_IMPL=rbg, FLAX_FIX_RNG_SEPARATOR=true, as" in line
    jax_settings.drop(environment, said.append)
    jax_settings.drop({"JAX_ENABLE_X64": "0"}, said.append)
    assert len(said) == 1


def quiet():
    return Console(file=io.StringIO())


def run_python(code, cwd=None, **environment):
    """A CompletedProcess of Python code."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_command_takes_them_out_before_jax_is_there():
    """Which reads them when it is imported; no command's module imports it."""
    imports = "; ".join(f"import cifar_jax.{name}" for name in COMMANDS)
    code = f"""
import sys
{imports}
assert "jax" not in sys.modules
def main():
    import jax
    print(jax.config.jax_enable_x64, jax.random.PRNGKey(0).shape)
sys.exit(cifar_jax.console.endings.guarded(main)())
"""
    done = run_python(code, JAX_ENABLE_X64="maybe", JAX_DEFAULT_PRNG_IMPL="rbg")
    assert (done.returncode, done.stdout) == (0, "False (2,)\n"), done.stderr
    assert done.stderr.count("\n") == 1 and "JAX_ENABLE_X64=maybe, JAX_DEFAULT" in done.stderr


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("JAX_LOG_COMPILES", "perhaps", "JAX can't be started (invalid truth value 'perhaps'"),
        ("JAX_PLATFORMS", "abacus", "JAX finds no device (Unable to initialize backend 'abacus'"),
    ],
)
def test_a_variable_that_jax_does_not_understand_is_said(variable, value, message):
    code = """
import sys
from cifar_jax.console import endings
def main():
    import jax
    jax.devices()
sys.exit(endings.guarded(main)())
"""
    done = run_python(code, **{variable: value})
    assert done.returncode == 2 and done.stderr.startswith(f"error: {message}"), done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("there", "platforms", "visible", "said"),
    [
        (True, None, None, True),
        (False, None, None, False),
        (True, "cpu", None, False),
        (True, None, "", False),
        (True, None, "0", True),
    ],
)
def test_a_gpu_that_is_not_used_is_said(monkeypatch, tmp_path, there, platforms, visible, said):
    """... unless one wishes it so."""
    monkeypatch.setattr(runtime, "NVIDIA", tmp_path if there else tmp_path / "nvidia0")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(runtime.jax, "default_backend", lambda: "cpu")
    before = runtime.jax.config.jax_platforms
    runtime.jax.config.update("jax_platforms", platforms)
    try:
        remark = runtime.unused_gpu()
        assert bool(remark) == said
        assert not said or f"    {remark}\n" in (ROOT / "docs/questions.md").read_text()
    finally:
        runtime.jax.config.update("jax_platforms", before)


@pytest.mark.parametrize(
    "backend", tiered(["module://made_up.backend_inline", "TkAgg", "nonsense"], ["nonsense"])
)
def test_a_notebooks_backend_is_not_asked_for(backend):
    code = """
import sys
from cifar_jax.console import endings
def main():
    from cifar_jax.analysis import style
    import matplotlib.pyplot
    print(matplotlib.get_backend())
sys.exit(endings.guarded(main)())
"""
    done = run_python(code, MPLBACKEND=backend)
    assert (done.returncode, done.stdout, done.stderr) == (0, "agg\n", "")


def test_no_program_warns_of_a_folder_for_programs_that_is_none(tmp_path):
    code = """
import sys
from cifar_jax.console import endings
def main():
    import jax
    print(jax.jit(lambda x: x + 1)(1))
sys.exit(endings.guarded(main)())
"""
    (tmp_path / "file").write_text("")
    always = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    done = run_python(code, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "file" / "x"), **always)
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")


# What a program that calls us may have set, one after the other: context manager -> value.
UNUSUAL = {
    "enable_x64": True,
    "enable_custom_prng": True,
    "default_prng_impl": "rbg",
    "threefry_partitionable": False,
    "legacy_prng_key": "error",
    "debug_key_reuse": True,
    "default_matmul_precision": "bfloat16",
    "softmax_custom_jvp": True,
    "numpy_dtype_promotion": "strict",
    "numpy_rank_promotion": "raise",
    "debug_nans": True,
    "debug_infs": True,
    "disable_jit": True,
    "enable_checks": True,
    "thread_guard": True,
    "transfer_guard": "disallow",
    "transfer_guard_host_to_device": "disallow",
    "no_execution": True,
    "no_tracing": True,
}


@contextlib.contextmanager
def unusual():
    """All of them at once."""
    with contextlib.ExitStack() as stack:
        for name, value in UNUSUAL.items():
            stack.enter_context(getattr(jax, name)(value))
        yield


def values_of_contexts():
    return {name: getattr(jax.config, f"jax_{name}") for name in jax_settings.CONTEXTS}


def test_a_calling_programs_settings_are_ours_within_and_its_own_again_after():
    usual = values_of_contexts()
    with unusual():
        before = values_of_contexts()
        assert all(before[name] != usual[name] for name in usual if "guard_device" not in name)
        with jax_settings.pinned():
            within = values_of_contexts()
        assert values_of_contexts() == before
    assert {n: v for n, v in within.items() if "guard" not in n} == {
        n: v for n, v in usual.items() if "guard" not in n
    }
    assert within["transfer_guard"] == within["transfer_guard_host_to_device"] == "allow"


def test_random_numbers_of_the_process_s_own_are_refused(monkeypatch):
    jax.config.update("jax_random_seed_offset", 7)
    try:
        with pytest.raises(ConfigError, match="jax_random_seed_offset=7"), jax_settings.pinned():
            pass
    finally:
        jax.config.update("jax_random_seed_offset", 0)


KEPT = ("params_sha256", "test_loss", "validation_accuracy")


@pytest.mark.thorough
def test_a_program_with_unusual_settings_gets_the_same_bits(workdir, tmp_path):
    usual = json.loads((workdir / "summary.json").read_text())
    with unusual():
        summary = train.train_and_evaluate(usual["config"], tmp_path / "run", quiet())
    assert [summary[key] for key in KEPT] == [usual[key] for key in KEPT]


@pytest.mark.thorough
def test_so_it_does_with_streamed_images(small_config, tmp_path):
    small_config.dataset.residency = "stream"
    usual = train.train_and_evaluate(small_config, tmp_path / "usual", quiet())
    with unusual():
        summary = train.train_and_evaluate(small_config, tmp_path / "unusual", quiet())
    assert [summary[key] for key in KEPT] == [usual[key] for key in KEPT]


@pytest.mark.thorough
def test_a_process_with_unusual_settings_gets_the_same_bits(workdir, tmp_path, small_nets):
    """Whose other threads have them, too, as those that read streamed images."""
    config = json.loads((workdir / "summary.json").read_text())["config"]
    config["dataset"]["residency"], config["model"]["name"] = "stream", small_net.NAME
    (tmp_path / "config.json").write_text(json.dumps(config))
    code = """
import json, sys
from cifar_jax import train
sys.path.append(TESTS)
import small_net
config = json.load(open("config.json"))
with small_net.registered():
    print(train.train_and_evaluate(config, "unusual")["params_sha256"])
"""
    variables = VARIABLES["x64"] | VARIABLES["promotion"] | VARIABLES["debug"]
    done = run_python(code.replace("TESTS", repr(str(ROOT / "tests"))), cwd=tmp_path, **variables)
    assert done.returncode == 0, done.stderr
    usual = train.train_and_evaluate(config, tmp_path / "usual", quiet())
    assert done.stdout.splitlines()[-1] == usual["params_sha256"]


def test_a_sweep_sets_them_aside_too(quick_config, monkeypatch):
    seen = []

    def load(*_):
        seen.append(values_of_contexts())
        raise UserError("enough")

    monkeypatch.setattr(inputs, "load_data", load)
    sweep = cells.Sweep(quick_config, {"one": {}}, "one")
    with unusual(), pytest.raises(UserError, match="enough"):
        driver.train_sweep(sweep, 1, "unused", console=quiet())
    assert not seen[0]["enable_x64"] and seen[0]["default_prng_impl"] == "threefry2x32"


@pytest.mark.thorough
def test_commands_have_the_same_bits_whatever_the_variables(tmp_path):
    def digest(name, variables):
        overrides = "--config.total_epochs=1", "--config.tensorboard=false"
        done = run_main(tmp_path / name, *overrides, config=SMALL, **variables)
        assert done.returncode == 0, done.stderr
        heeded = name in ("usual", "logs")
        assert heeded or (done.stderr.startswith("not heeded: ") and done.stderr.count("\n") == 1)
        return json.loads((tmp_path / name / "summary.json").read_text())["params_sha256"]

    decisive = (variables for about, variables in VARIABLES.items() if about != "logs")
    at_once = {name: value for each in decisive for name, value in each.items()}
    usual = digest("usual", {})
    assert digest("logs", VARIABLES["logs"]) == digest("at once", at_once) == usual


# ---- No home


@pytest.mark.thorough
def test_keras_has_its_folder_among_the_caches(tmp_path):
    code = """
import sys
from cifar_jax.console import endings
def main():
    import tensorflow as tf
    tf.summary.create_file_writer("events").close()
    tf.keras
sys.exit(endings.guarded(main)())
"""
    (tmp_path / "home").mkdir()
    places = {"HOME": tmp_path / "home", "XDG_CACHE_HOME": tmp_path / "caches", "KERAS_HOME": ""}
    code = "import os; os.environ.pop('KERAS_HOME')" + code
    done = run_python(code, cwd=tmp_path, **{name: str(place) for name, place in places.items()})
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "home" / ".keras").exists()
    assert (tmp_path / "caches" / "cifar_jax" / "keras").is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["caches", "events", "home"]


@pytest.fixture
def nobody(monkeypatch, tmp_path):
    """A user without HOME and without an entry in passwd; the folder of its temporary files."""

    def no_entry(*_):
        raise KeyError

    variables = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR", "KERAS_HOME")
    for name in (*variables, "TFDS_DATA_DIR"):
        monkeypatch.setenv(name, "")  # so that what is set meanwhile is taken back
        monkeypatch.delenv(name)
    monkeypatch.setattr(pwd, "getpwuid", no_entry)
    monkeypatch.setattr(pwd, "getpwnam", no_entry)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    home.private.cache_clear()
    yield temporary
    home.private.cache_clear()


def test_without_a_home_caches_are_in_a_private_folder(nobody, capsys):
    """Said in one line, found again by the next process, and told to the libraries."""
    home.settle()
    folder = nobody / f"cifar_jax_{os.geteuid()}"
    assert folder.stat().st_mode & 0o7777 == 0o700
    assert os.environ["XDG_CACHE_HOME"] == str(folder)
    assert os.environ["MPLCONFIGDIR"] == str(folder / "matplotlib")
    assert os.environ["KERAS_HOME"] == str(folder / "cifar_jax" / "keras")
    assert runtime.cache_folder() == folder / "cifar_jax"
    assert folders.data_root() == folder / "tensorflow_datasets"
    assert folders.fallback_root(pathlib.Path("/")).is_relative_to(folder)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"no home folder: caches are in {folder}" in said

    home.private.cache_clear()
    home.settle()  # a child's: it is told where
    assert not capsys.readouterr().err


def test_a_folder_of_matplotlibs_that_can_not_be_written_is_none(nobody, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "mine"))
    home.settle()
    assert os.environ["MPLCONFIGDIR"] == str(tmp_path / "mine")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "file" / "x"))
    home.settle()
    assert os.environ["MPLCONFIGDIR"] == str(tmp_path / "caches" / "matplotlib")


def test_as_a_library_nothing_is_set(nobody):
    assert runtime.cache_folder().is_relative_to(nobody)
    assert "XDG_CACHE_HOME" not in os.environ and "MPLCONFIGDIR" not in os.environ


@pytest.mark.parametrize("taken", ["link", "open", "file"])
def test_a_folder_that_others_can_write_to_is_not_taken(nobody, tmp_path, taken):
    """What lies in a cache is run."""
    name = nobody / f"cifar_jax_{os.geteuid()}"
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    if taken == "link":
        name.symlink_to(other)
    elif taken == "open":
        name.mkdir()
        name.chmod(0o770)
    else:
        name.write_text("")
    folder = home.caches()
    assert folder != name and folder.parent == nobody
    assert folder.stat().st_mode & 0o7777 == 0o700 and not list(other.iterdir())


def test_a_home_that_can_not_be_written_is_none(nobody, monkeypatch, tmp_path, capsys):
    """A container's `--user 12345` has HOME=/; a file stands for it here, whoever runs the tests."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    assert home.caches().is_relative_to(nobody)
    assert f"{tmp_path / 'file' / '.cache'} can't be written: caches" in capsys.readouterr().err
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "named"))
    assert home.caches() == tmp_path / "named"


def test_nowhere_at_all_is_said(nobody, monkeypatch, capsys):
    def none():
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    with pytest.raises(UserError, match="no home folder, and there is no folder for temporary"):
        home.caches()
    assert endings.guarded(lambda: None)() == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_path_with_a_tilde_is_not_guessed(nobody, capsys):
    assert weights.main(["--workdir", "~/runs/first", "--target", "w.npz"]) == 2
    assert "error: a path begins with ~, but there is no such home" in capsys.readouterr().err


def test_who_asks_for_a_home_is_named(nobody, capsys):
    def main():
        pathlib.Path.home()

    assert endings.guarded(main)() == 2
    assert "test_environment.py asks for the home folder, and" in capsys.readouterr().err
    with home.lent():  # as Altair does
        assert pathlib.Path.home().is_relative_to(nobody)
    assert home.folder() is None


def test_a_folder_of_programs_that_can_not_be_written_costs_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    names = (
        "jax_compilation_cache_dir",
        "jax_persistent_cache_min_compile_time_secs",
        "jax_enable_compilation_cache",
    )
    before = {name: getattr(jax.config, name) for name in names}
    try:
        runtime.enable_compilation_cache(str(tmp_path / "file" / "xla"))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert jax.jit(lambda x: x + tmp_path.stat().st_mtime_ns % 1000)(0) >= 0
        said = capsys.readouterr().err
        assert said == f"{tmp_path}/file/xla can't be written: compiled programs are not kept\n"
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


@contextlib.contextmanager
def read_only(folder):
    """Within, nobody but root can write to the folder; what lies in it is as before at the end."""
    paths = (folder, *folder.rglob("*"))
    before = {path: path.stat().st_mtime_ns for path in paths}
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        yield
        assert {path: path.stat().st_mtime_ns for path in (folder, *folder.rglob("*"))} == before
    finally:
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755)


@pytest.mark.thorough
@pytest.mark.parametrize("environment", [{}, {"HOME": "/proc"}], ids=["no HOME", "a closed HOME"])
def test_every_command_works_without_a_home(tmp_path, environment, workdir):
    """As in a container with --user 12345, in a folder with a pattern for a name. A closed home is met as none is, so
    three commands are enough.

    Those that ask a run leave it alone: its folder can't be written to, and results go elsewhere. The main job imports
    all that the others' forks have, and so is a process of its own from the start.
    """
    temporary, here = tmp_path / "tmp", tmp_path / "it's [1] {a,b}*? 100%20#"
    temporary.mkdir()
    here.mkdir()
    run = shutil.copytree(workdir, here / "run", ignore=shutil.ignore_patterns("evaluation"))
    Image.new("RGB", (32, 32), "red").save(here / "cat.png")
    pictures = here / "pictures [2]"
    pictures.mkdir()
    shutil.copy(here / "cat.png", pictures)
    quick = ("--config.total_epochs=1", "--config.log_every_steps=10", "--config.batch_size=256")
    lines = [
        ("main", "--config", ROOT / SMALL, "--workdir", here / "new", *quick),
        ("evaluate", "--workdir", "run", "--no-speed", "--out", "evaluation"),
        ("summary", "--model", "basic_net", "--json"),
    ]
    if not environment:
        sweep = (
            "sweep",
            "--config",
            ROOT / "tests/small_sweep.py",
            "--workdir",
            here / "sweep",
            *quick[:2],
        )
        elsewhere = {"data", "serve"}  # in the tests below
        lines += [
            lines[0],  # the second time they go on
            sweep,
            sweep,
            (
                "gradcam",
                "--workdir",
                "run",
                "--images",
                here / "cat.png",
                "--out",
                here / "gradcam",
            ),
            ("ood", "--workdir", "run", "--ood", "noise", "--count", "20", "--out", here / "ood"),
            ("report", here / "run", "--out", here / "report.html"),
            ("predict", "--workdir", here / "run", here / "cat.png"),
            ("predict", "--workdir", "run", pictures),
            ("export", "--workdir", "run", "--out", here / "model.jaxexport", "--platforms", "cpu"),
            ("weights", "--workdir", "run", "--target", here / "w.npz"),
            (
                "weights",
                "--model",
                "basic_net",
                "--source",
                here / "w.npz",
                "--target",
                here / "w.safetensors",
            ),
            ("experiments",),
            ("reproduce", "--list"),
            ("plan", "--config", ROOT / "configs/quickstart.py", "--devices", "cpu:1"),
        ]
        assert {name.partition(".")[0] for name in COMMANDS} - elsewhere == {
            name for name, *_ in lines
        }
    as_nobody = functools.partial(run_as_nobody, cwd=here, temporary=temporary, **environment)
    with read_only(run):
        for name, *arguments in lines:
            done = as_nobody(name, *arguments, fork=name != "main")
            assert done.returncode == 0 and "damaged" not in done.stdout, (name, done.stderr)
            lines_said = 1 + (name == "plan")  # which says what it compiles
            assert done.stderr.count("\n") == lines_said and "caches are in" in done.stderr, (
                name,
                done.stderr,
            )
            assert "no TensorBoard events" not in done.stdout, done.stdout
        done = as_nobody("evaluate", "--workdir", "run")
        assert done.returncode == 2 and "choose another --out" in done.stderr
    (folder,) = temporary.iterdir()
    assert folder.name == f"cifar_jax_{NUMBER}" and folder.stat().st_mode & 0o777 == 0o700
    assert list((here / "new" / "tensorboard").glob("events.*"))
    assert sorted(tmp_path.iterdir()) == sorted([temporary, here])


@pytest.mark.thorough
def test_a_page_is_served_without_a_home(tmp_path, workdir):
    pytest.importorskip("uvicorn")
    arguments = ("--workdir", workdir, "--port", "0")
    process = start_as_nobody("serve", *arguments, cwd=tmp_path, temporary=tmp_path)
    try:
        url = next(line for line in process.stdout if "is ready" in line).split()[0]
        with urllib.request.urlopen(url, timeout=60) as page:
            assert b"<html" in page.read()
    finally:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert "caches are in" in said and "Traceback" not in said, said


@pytest.mark.thorough
def test_a_data_set_is_prepared_without_a_home(tmp_path):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    Archives().make(tmp_path / "cifar.tar.gz", "cifar10-binary")
    arguments = ("--archive", "cifar.tar.gz")
    done = run_as_nobody("data.prepare", *arguments, cwd=tmp_path, temporary=temporary)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\n") == 1 and "caches are in" in done.stderr
    assert (temporary / f"cifar_jax_{NUMBER}" / "tensorflow_datasets" / "cifar10").is_dir()
