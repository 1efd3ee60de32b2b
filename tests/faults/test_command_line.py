"""The real command line, broken: its exit code, its one message, and what it ends with when it is started again."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest
from command_line import QUICK, ROOT, command, run_main
from damages import arrays_of, clock_set_back, mount, truncate, unmount
from outcomes import assert_same, outcome, start, start_anew
from small_archives import Archives

SHORT = (*QUICK, "--config.total_epochs=3")


@pytest.fixture(scope="module")
def undisturbed(made_once):
    """The workdir of a whole run."""

    def make(folder):
        done = run_main(folder / "run", *SHORT)
        assert done.returncode == 0, done.stderr

    return made_once("undisturbed", make) / "run"


@pytest.fixture
def small_disk(tmp_path):
    """A function that mounts a folder, of so many kilobytes, or changes it: read-only, say."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mounted(options):
        if reason := mount(folder, options):
            pytest.skip(f"no tmpfs can be mounted here: {reason}")
        return folder

    yield mounted
    unmount(folder)


def the_error(done):
    """The line that a run which failed ended with, alone on stderr."""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def saved(workdir):
    """The steps of its complete checkpoints."""
    return [path.name for path in workdir.glob("checkpoints/*") if path.name.isdecimal()]


@pytest.mark.thorough
def test_a_full_disk_ends_it_and_room_lets_it_go_on(small_disk, undisturbed):
    # For a checkpoint and part of the next one.
    workdir = small_disk("size=1100k") / "run"
    done = run_main(workdir, *SHORT)
    assert done.returncode == 4
    assert "No space left on device" in the_error(done) and str(workdir) in done.stderr
    assert saved(workdir) == ["20"]
    small_disk("remount,size=64m")
    done = run_main(workdir, *SHORT)
    assert done.returncode == 0 and "resuming" in done.stdout and not done.stderr
    assert_same(outcome(workdir), outcome(undisturbed))


@pytest.mark.thorough
def test_a_read_only_workdir_is_refused(small_disk):
    folder = small_disk("size=64k")
    (folder / "run").mkdir()
    small_disk("remount,ro")
    done = run_main(folder / "run", *SHORT)
    assert done.returncode == 2 and "Read-only file system" in the_error(done)


@pytest.mark.thorough
def test_a_damaged_checkpoint_is_kept_and_the_run_ends_the_same(tmp_path, undisturbed):
    workdir = shutil.copytree(undisturbed, tmp_path / "run")
    last = workdir / "checkpoints/60"
    damaged = arrays_of(last.parent, 60)
    truncate(damaged)
    content = damaged.read_bytes()
    done = run_main(workdir, *SHORT)
    assert done.returncode == 0 and not done.stderr
    (line,) = [each for each in done.stdout.splitlines() if " is damaged (" in each]
    assert line.startswith(f"the checkpoint {last} is damaged (") and "60.damaged" in line
    assert (workdir / "checkpoints/60.damaged" / damaged.relative_to(last)).read_bytes() == content
    assert_same(outcome(workdir), outcome(undisturbed))


@pytest.mark.thorough
def test_a_clock_set_back_changes_nothing(tmp_path, undisturbed):
    """Of a run that was killed and goes on a day earlier."""
    workdir = tmp_path / "run"
    process, limit = start(workdir, *SHORT), time.monotonic() + 120
    while not saved(workdir):
        assert process.poll() is None and time.monotonic() < limit
        time.sleep(0.005)
    process.kill()
    process.communicate()
    arguments = command(workdir, *SHORT)[3:]
    done = subprocess.run(
        [sys.executable, "-c", clock_set_back(1), *arguments],
        cwd=ROOT, text=True, capture_output=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0 and "resuming" in done.stdout and not done.stderr
    assert_same(outcome(workdir), outcome(undisturbed))


@pytest.mark.thorough
def test_a_damaged_data_cache_is_built_again_and_the_run_is_the_same(tmp_path):
    """All without TensorFlow: building the cache from the records, and training from it."""
    tripped = tmp_path / "imported"
    (tmp_path / "tensorflow.py").write_text(f"open({str(tripped)!r}, 'w'); raise ImportError")
    blocked = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    archive = Archives().make(tmp_path / "cifar-10-binary.tar.gz", "cifar10-binary", 40)
    options = (
        *QUICK,
        "--config.total_epochs=1",
        "--config.dataset.name=cifar10",
        f"--config.dataset.data_dir={tmp_path}",
        f"--config.dataset.archive={archive}",
    )
    whole = run_main(tmp_path / "whole", *options, **blocked)
    assert whole.returncode == 0, whole.stderr
    cache = tmp_path / "cifar10/3.0.2/cifar_jax_cache"
    truncate(cache / "train_images.npy")
    done = run_main(tmp_path / "run", *options, **blocked)
    assert done.returncode == 0 and not done.stderr and not tripped.exists()
    assert done.stdout.count(f"The cache {cache} is damaged (") == 1
    assert_same(outcome(tmp_path / "run"), outcome(tmp_path / "whole"))


@pytest.mark.thorough
def test_without_a_tensorboard_folder_it_goes_on(tmp_path, undisturbed):
    workdir = tmp_path / "run"
    workdir.mkdir()
    (workdir / "tensorboard").write_text("no folder")
    done = run_main(workdir, *SHORT, "--config.tensorboard=true")
    assert done.returncode == 0 and not done.stderr
    assert [each for each in done.stdout.splitlines() if "no TensorBoard events" in each]
    assert_same(outcome(workdir), outcome(undisturbed))


INTERRUPTED = "interrupted; the same command goes on from the last checkpoint, if any\n"


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="no /proc")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "Ctrl-C"]
)
def test_a_signal_while_jax_is_imported_is_one_line(tmp_path, number, code):
    """An exception would crash it within the start of jaxlib."""
    process, limit = start_anew(tmp_path / "run", *SHORT), time.monotonic() + 120
    maps = pathlib.Path(f"/proc/{process.pid}/maps")
    while "jaxlib" not in maps.read_text():
        assert process.poll() is None and time.monotonic() < limit
        time.sleep(0.005)
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (code, INTERRUPTED)


@pytest.mark.thorough
def test_a_second_training_is_refused_and_sigterm_in_the_final_evaluation_is_one_line(
    tmp_path, undisturbed
):
    """The first one waits in its final evaluation, for the second one to be refused and for its signal."""
    program = (
        "import signal; from cifar_jax import main; from cifar_jax.console import endings; "
        "from cifar_jax.train import loop; "
        "loop.final_evaluation = lambda *_: print('evaluating', flush=True) or signal.pause(); "
        "endings.run(main.main)"
    )
    workdir = tmp_path / "run"
    first = subprocess.Popen(
        [sys.executable, "-c", program, *command(workdir, *SHORT)[3:]],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert "evaluating\n" in iter(first.stdout.readline, "")
    second = run_main(workdir, *SHORT)
    assert second.returncode == 2
    assert f"in use by another training (process {first.pid} on " in the_error(second)
    first.terminate()
    _, errors = first.communicate(timeout=120)
    assert (first.returncode, errors) == (143, INTERRUPTED)
    assert not (workdir / "summary.json").exists()
    done = run_main(workdir, *SHORT)
    assert done.returncode == 0 and "resuming" in done.stdout
    assert_same(outcome(workdir), outcome(undisturbed))
