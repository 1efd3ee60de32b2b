"""python -m cifar_jax.export."""

import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from functools import partial

import jax
import numpy as np
import pytest
from command_line import ROOT, run_module
from jax import export as jax_export
from quick_jit import quick_jit
from scipy import special
from untrained import untrained

from cifar_jax import data, export, trained
from cifar_jax.errors import DataError, UserError
from cifar_jax.trained import export as export_lib
from cifar_jax.trained import export_check

pytestmark = pytest.mark.thorough

BATCHES = (1, 8)  # `export` itself has called what it wrote with 3

# Neither our code nor Flax can be imported after this.
ALONE = (
    "import sys\nfor name in ('cifar_jax', 'flax', 'orbax', 'optax'): sys.modules[name] = None\n"
)


needs_tensorflow = pytest.mark.skipif(
    not importlib.util.find_spec("tensorflow"), reason="TensorFlow is not installed"
)


@pytest.fixture(scope="module")
def exported(workdir, made_once):
    """(the file, what the command printed)."""
    return written(workdir, made_once, "exported")


@pytest.fixture(scope="module")
def saved(workdir, made_once):
    """The same with a SavedModel beside the file, in the folder "saved"."""
    pytest.importorskip("tensorflow")
    return written(workdir, made_once, "with_saved", "--savedmodel", "saved")


def written(workdir, made_once, name, *options):
    def make(folder):
        folder.mkdir()
        arguments = ("--workdir", workdir, "--out", folder / "model.jaxexport")
        done = run_module(
            "export", *arguments, *(folder / each if each == "saved" else each for each in options)
        )
        assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
        # `made_once` gives the folder its name at the end.
        printed = done.stdout.replace(str(folder), str(folder.with_name(name)))
        (folder / "printed").write_text(printed)

    folder = made_once(name, make)
    return folder / "model.jaxexport", (folder / "printed").read_text()


@pytest.fixture
def unchecked(monkeypatch):
    """What is written is not called, for tests of other things."""
    monkeypatch.setattr(export_check, "check", lambda *_: [])


@pytest.fixture
def call(workdir, capsys):
    """A command line -> its exit code, what it prints, its errors."""

    def call(*arguments):
        code = export.main(["--workdir", str(workdir), *map(str, arguments)])
        return code, *capsys.readouterr()

    return call


def expected(run, images):
    return special.softmax(trained.logits(run, images), axis=1)


def answers(program, folder, images):
    """What `model` of a program says of the first images, in a process that has not our code: batch -> array.

    The machine code is not optimised, which compiles in half the time.
    """
    np.save(folder / "images.npy", images)
    program += f"\nimages = np.load('images.npy')\nfor n in {BATCHES}:\n"
    program += "    np.save(f'{n}.npy', np.asarray(model(images[:n])))\n"
    command = [sys.executable, "-c", program]
    quick = os.environ | {"XLA_FLAGS": "--xla_backend_optimization_level=0"}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=quick, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return {n: np.load(folder / f"{n}.npy") for n in BATCHES}


@pytest.mark.thorough  # `export` itself has called both files for the fixture
def test_the_file_alone_says_what_the_run_says(run, exported, tmp_path):
    """Loaded by the very lines that are printed."""
    images = run.dataset.split("test")[0][:8]
    lines = exported[1].split("\n\n")[-1]
    by_size = answers(ALONE + lines, tmp_path, images)
    for n, probabilities in by_size.items():
        assert probabilities.shape == (n, 10) and probabilities.dtype == np.float32
        np.testing.assert_allclose(probabilities, expected(run, images)[:n], atol=1e-6)
        np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)


@pytest.mark.thorough
def test_what_stands_beside_it(run, exported):
    path, printed = exported
    about = json.loads((path.parent / "model.jaxexport.json").read_text())
    assert printed.splitlines()[:2] == [str(path), f"{path}.json"]
    names = {each.name for each in path.parent.iterdir()}
    assert names == {"model.jaxexport", "model.jaxexport.json", "printed"}
    assert about["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert about["class_names"] == list("0123456789")
    assert about["input"]["shape"] == ["b", 32, 32, 3] and about["input"]["dtype"] == "uint8"
    assert about["output"]["shape"] == ["b", 10] and about["platforms"] == ["cpu", "cuda", "tpu"]
    assert about["dataset"] == {"name": "digits", "fingerprint": run.dataset.fingerprint}
    assert (about["step"], about["checkpoint"]) == (run.step, run.checkpoint)
    versions = about["versions"]
    assert versions["jax"] == jax.__version__ and about["stablehlo_version"] == export_lib.STABLEHLO
    assert "tensorflow" not in versions


def test_the_file_holds_every_platform_and_no_other_input_is_taken(exported):
    content = exported[0].read_bytes()
    # Older readers know no later one than the file names; by itself each JAX writes another.
    assert set(re.findall(rb"StableHLO_v([0-9.]+)", content)) == {export_lib.STABLEHLO.encode()}
    model = jax_export.deserialize(content)
    assert model.platforms == ("cpu", "cuda", "tpu")
    (images,) = model.in_avals
    assert str(images.shape) == "(b, 32, 32, 3)" and images.dtype == np.uint8
    for wrong in (np.zeros((2, 32, 32, 3), np.float32), np.zeros((2, 28, 28, 3), np.uint8)):
        with pytest.raises(ValueError, match="mismatch|shape|dtype"):
            model.call(wrong)


def test_the_machine_that_exports_does_not_matter(run, exported, monkeypatch):
    """One with a GPU writes the same bytes, and no folder of it is in them."""
    content = exported[0].read_bytes()
    assert str(ROOT).encode() not in content and b"basic_net.py" not in content
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert bytes(export_lib.export(run).serialize()) == content


@pytest.mark.thorough
def test_each_platform_has_its_own_operations(exported):
    """XLA's pooling, which is slow on the CPU, is for the others and gone when it is compiled here."""
    model = jax_export.deserialize(exported[0].read_bytes())
    assert "reduce_window" in model.mlir_module()
    images = jax.ShapeDtypeStruct((2, 32, 32, 3), np.uint8)
    compiled = quick_jit(model.call).lower(images).compile().as_text()
    assert "reduce-window" not in compiled and "conditional" not in compiled


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "dtype", "tolerance"),
    [
        ("modified_net_separable", "bfloat16", 0.02),
        ("big_net_improved", "float32", 1e-5),  # any batch has no Winograd, which rounds otherwise
        ("attention_net", "float32", 1e-5),  # in other blocks
        ("airbench_net", "float32", 1e-6),
    ],
)
def test_models_of_every_structure(name, dtype, tolerance):
    """Compiled without much optimisation, hence the tolerance for bfloat16."""
    run = untrained(name, dtype)
    contrast = 32 if name == "attention_net" else 128  # of which that one would be too sure
    images = np.random.default_rng(1).integers(
        128 - contrast, 128 + contrast, (3, 32, 32, 3), np.uint8
    )
    wanted = np.asarray(
        quick_jit(partial(export_lib.probabilities, run.inference))(run.variables, images)
    )
    assert np.ptp(wanted, axis=1).min() > 0.005 and wanted.max() < 0.999
    content = export_lib.export(run, ("cpu",)).serialize()
    probabilities = quick_jit(jax_export.deserialize(content).call)(images)
    np.testing.assert_allclose(probabilities, wanted, atol=tolerance)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "name", ["resnet18_dw", "mobilenet_v2", "vgg16_bn", "selective_kernel_net"]
)
def test_models_that_take_long_to_compile_are_lowered_for_any_batch(name):
    exported = export_lib.export(untrained(name))
    assert str(exported.out_avals[0].shape) == "(b, 10)"


def test_a_model_that_the_version_can_not_say_is_refused():
    """Here of a version from before there were any."""
    exported = jax_export.export(jax.jit(lambda x: x))(jax.ShapeDtypeStruct((), "uint8"))
    with pytest.raises(UserError, match=r"can't write this model in StableHLO 0\.1\.0"):
        export_lib.at_version(exported, "0.1.0")


def test_a_fixed_batch(call, unchecked, tmp_path):
    code, printed, _ = call("--out", tmp_path / "model", "--platforms", "cpu", "--batch", "2")
    assert code == 0 and "np.zeros((2, 32, 32, 3), np.uint8)" in printed
    model = jax_export.deserialize((tmp_path / "model").read_bytes())
    assert model.in_avals[0].shape == (2, 32, 32, 3) and model.out_avals[0].shape == (2, 10)
    about = json.loads((tmp_path / "model.json").read_text())
    assert about["input"]["shape"] == [2, 32, 32, 3] and about["output"]["shape"] == [2, 10]
    assert "any" not in about["input"]["meaning"]


@pytest.mark.thorough
@needs_tensorflow
def test_a_fixed_batch_is_called_before_it_is_said_to_be_there(call, tmp_path):
    arguments = ("--out", "model", "--savedmodel", "saved", "--platforms", "cpu", "--batch", "2")
    assert call(*(tmp_path / a if a in ("model", "saved") else a for a in arguments))[0] == 0


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("raise ValueError('no such operation')", "can't call .* (ValueError: no such operation)"),
        ("import os; os.abort()", "can't call .* (it ended with code -6)"),
        ("import cifar_jax", "can't call .* (ModuleNotFoundError: import of cifar_jax halted"),
        (
            "import numpy as np; probabilities = np.full((3, 10), 2.0)",
            "gives other probabilities than the run (by up to 2)",
        ),
    ],
)
def test_what_does_not_do_what_the_run_does_is_not_written(
    call, tmp_path, monkeypatch, lines, message
):
    """The lines that load it stand for a reader that can't."""
    monkeypatch.setattr(export_lib, "how_to_load", lambda *_: lines)
    monkeypatch.setattr(export_check, "own_answers", lambda *_: np.zeros((3, 10)))
    code, printed, errors = call("--out", tmp_path / "model", "--platforms", "cpu")
    assert code == 2 and not printed and errors.count("\n") == 1
    pattern = ".*".join(map(re.escape, message.split(".*")))
    assert re.match(rf"error: jax {re.escape(jax.__version__)} {pattern}", errors), errors
    assert "nothing was written; give a fixed batch (--batch 1)" in errors
    assert not list(tmp_path.iterdir())


def test_a_platform_that_is_not_here_is_said(call, tmp_path, monkeypatch):
    monkeypatch.setattr(export_check, "platform_here", lambda _: "")
    monkeypatch.setattr(export_check, "own_answers", None)  # nor is anything else computed
    code, printed, _ = call("--out", tmp_path / "model", "--platforms", "tpu")
    assert code == 0 and f"{tmp_path / 'model'} was not called here" in printed


def test_the_platform_that_is_called(monkeypatch):
    def devices(name):
        return ["a GPU"] if name == "cuda" else jax.local_devices(backend=name)

    assert export_check.platform_here(("tpu", "cpu")) == "cpu"
    monkeypatch.setattr(jax, "devices", devices)
    assert export_check.platform_here(("cpu", "cuda")) == "cuda"
    assert export_check.platform_here(("rocm", "tpu")) == ""


def test_the_data_set_is_not_needed(call, unchecked, tmp_path, monkeypatch):
    def gone(*arguments):
        raise DataError("the data set is gone")

    monkeypatch.setattr(data, "load", gone)
    assert call("--out", tmp_path / "model", "--platforms", "cpu")[0] == 0
    assert json.loads((tmp_path / "model.json").read_text())["platforms"] == ["cpu"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "none/model"], "there is no folder none"),
        (["--out", "."], "is a folder; give a file"),
        (["--out", "file/model"], "there is no folder file"),
        (["--out", "x" * 250], "File name too long"),
        (["--out", "model", "--checkpoint", "7"], "no checkpoint 7"),
        (["--out", "model", "--workdir", "."], "no workdir of a run"),
        (["--out", "model", "--platforms", "cpu,abacus"], "some of cpu, cuda, rocm, tpu"),
        (["--out", "model", "--platforms", ","], "some of cpu, cuda, rocm, tpu"),
        (["--out", "model", "--batch", "0"], "--batch is 1 to 4,096, not 0"),
        (["--out", "model", "--batch", "4097"], "--batch is 1 to 4,096, not 4097"),
    ],
)
def test_what_can_not_be_done_is_said_and_nothing_is_left(
    call, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    code, printed, errors = call(*arguments)
    assert code == 2 and not printed and errors.count("\n") == 1
    assert errors.startswith("error: ") and message in errors
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_both_files_or_none(tmp_path):
    """Here a folder is in the way of the second."""
    (tmp_path / "model.json").mkdir()
    with (
        pytest.raises(UserError, match="can't write"),
        export_lib.writing(tmp_path / "model", b"content", {}),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["model.json"]


def test_without_tensorflow_a_saved_model_is_refused(call, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    code, _, errors = call("--out", tmp_path / "model", "--savedmodel", tmp_path / "saved")
    assert code == 2 and "pip install tensorflow-cpu" in errors and not list(tmp_path.iterdir())


@needs_tensorflow
@pytest.mark.thorough
def test_a_saved_model_says_the_same(run, saved, tmp_path):
    """In TensorFlow alone."""
    images = run.dataset.split("test")[0][:8]
    load = (
        "import numpy as np, tensorflow as tf\n"
        f"saved = tf.saved_model.load({str(saved[0].parent / 'saved')!r})\n"
        "classify = saved.signatures['serving_default']\n"
        "model = lambda images: classify(images=tf.constant(images))['probabilities']\n"
    )
    by_size = answers(ALONE + "sys.modules['jax'] = None\n" + load, tmp_path, images)
    for n, probabilities in by_size.items():
        np.testing.assert_allclose(probabilities, expected(run, images)[:n], atol=1e-5)
    about = json.loads((saved[0].parent / "model.jaxexport.json").read_text())
    assert "tensorflow" in about["versions"]


@needs_tensorflow
def test_where_a_saved_model_can_not_be(call, tmp_path, monkeypatch):
    monkeypatch.setattr("cifar_jax.trained.saved_model.tensorflow", lambda: None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    for folder, message in (
        ("there", "is there already"),
        ("none/saved", "can't write none/saved"),
        ("model", "two things would be written as"),
        ("model.json", "two things would be written as"),
    ):
        code, _, errors = call("--out", "model", "--savedmodel", folder)
        assert code == 2 and message in errors
    code, _, errors = call("--out", "model", "--savedmodel", "saved", "--checkpoint", "7")
    assert code == 2 and "no checkpoint 7" in errors
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
