"""python -m cifar_jax.export --onnx, and the converter behind it."""

import collections
import dataclasses
import json
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command_line import ROOT
from jax import export as jax_export
from jax import lax
from quick_jit import quick_jit
from scipy import special
from tiers import tiered
from untrained import untrained

from cifar_jax import export, models, trained
from cifar_jax.errors import UserError
from cifar_jax.models import reported
from cifar_jax.models.ops import choice
from cifar_jax.trained import export as export_lib
from cifar_jax.trained import export_check, onnx_model

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

# Those of the reports that take images of the run's size, and two more.
MODELS = sorted(
    {"big_net", "big_net_improved", "plain_cnn", "modified_net_separable", "selective_kernel_net"}
    | {name for name in reported.REPORTED if models.lookup(name).input_shape == (32, 32, 3)}
    | {"mobilenet_v2"}
)
FIRST = ["basic_net", "plain_cnn", "resnet18_dw", "small_net"]


@pytest.fixture
def small_run(small_nets):
    return untrained("small_net", flip=True)


def session(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, ["CPUExecutionProvider"]
    )


def answers(model, given):
    """What onnxruntime says."""
    return session(model).run(None, {onnx_model.INPUT: given})[0]


def drawn_images(count):
    return np.random.default_rng(1).integers(0, 256, (count, 32, 32, 3), np.uint8)


def unsure(run, images):
    """The run with a last layer by which its logits have deviation 1, and its probabilities."""

    def call(variables, images):
        return run.inference.logits(variables, run.inference.normalize(images))

    logits = np.asarray(quick_jit(call)(run.variables, images))
    params, by = dict(run.variables["params"]), logits.std()
    shapes = {name: np.shape(layer.get("kernel")) for name, layer in params.items()}
    (last,) = (name for name, shape in shapes.items() if shape[1:] == (10,))
    params[last] = jax.tree.map(lambda leaf: leaf / by, params[last])
    variables = {**run.variables, "params": params}
    return dataclasses.replace(run, variables=variables), special.softmax(logits / by, axis=1)


def operations(model):
    return collections.Counter(node.op_type for node in model.graph.node)


def cpu_formulations():
    return choice.formulations_of("cpu")


CASES = [(name, choice.plain_formulations) for name in FIRST]  # half the time to compile


@pytest.mark.parametrize(
    "case",
    tiered(CASES + [(name, cpu_formulations) for name in MODELS], CASES),
    ids=lambda case: f"{case[0]}-{case[1].__name__}",
)
def test_onnxruntime_says_what_the_model_says(case, small_nets):
    """Of any number of images."""
    (name, formulations), images = case, drawn_images(3)
    with formulations():
        run, wanted = unsure(untrained(name), images)
    assert np.ptp(wanted, axis=1).min() > 0.01 and np.max(wanted) < 0.99
    model = onnx_model.of_run(run)
    onnx.checker.check_model(model, full_check=True)
    for count in (1, 3):
        probabilities = answers(model, images[:count])
        assert probabilities.shape == (count, 10) and probabilities.dtype == np.float32
        np.testing.assert_allclose(probabilities, wanted[:count], rtol=0, atol=1e-5)


@pytest.mark.parametrize("views", [{"flip": True}, {"flip": True, "translate": 2}])
def test_test_time_augmentation_is_inside(small_nets, views):
    run, images = untrained("small_net", **views), drawn_images(2)
    wanted = quick_jit(partial(export_lib.probabilities, run.inference))(run.variables, images)
    np.testing.assert_allclose(answers(onnx_model.of_run(run), images), wanted, rtol=0, atol=1e-5)


def test_a_run_in_bfloat16_is_written_in_float32(small_nets):
    run, images = untrained("small_net", "bfloat16"), drawn_images(2)
    wanted = quick_jit(partial(export_lib.probabilities, run.inference))(run.variables, images)
    model = onnx_model.of_run(run)
    np.testing.assert_allclose(answers(model, images), wanted, rtol=0, atol=0.02)
    types = {each.data_type for each in model.graph.initializer}
    assert types <= {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64}


def test_between_convolutions_nothing_is_transposed():
    """The images are, once; a batch norm is a product and a sum with constants, which a reader makes weights of."""
    model = onnx_model.of_run(untrained("resnet18_dw"))
    counts = operations(model)
    assert counts["Transpose"] == 1 and counts["Conv"] == 20
    assert not {"Sqrt", "Pow", "Reciprocal", "Expand", "Reshape"} & counts.keys()


# Each of [B, 6, 6, 4] floats, as nets call them.
KERNEL = np.random.default_rng(0).normal(size=(3, 3, 4, 4)).astype(np.float32)
OPERATIONS = {
    "attention by blocks": lambda x: lax.map(
        lambda y: jax.nn.softmax(y @ y.swapaxes(1, 2)) @ y, x.swapaxes(0, 1)
    ),
    "average pooling with padding": lambda x: lax.reduce_window(
        x, 0.0, lax.add, (1, 3, 3, 1), (1, 2, 2, 1), ((0, 0), (1, 1), (1, 1), (0, 0))
    ),
    "checkpoint": jax.checkpoint(lambda x: jnp.exp(-x) + x),
    "concatenation": lambda x: jnp.concatenate([x[..., :2], x[..., 1:] * 2], 3),
    "convolution with strides": lambda x: lax.conv_general_dilated(
        x, KERNEL, (2, 1), ((0, 1), (2, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    ),
    "convolution, dilated": lambda x: lax.conv_general_dilated(
        x, KERNEL, (1, 1), "SAME", rhs_dilation=(2, 2), dimension_numbers=("NHWC", "HWIO", "NHWC")
    ),
    "convolution in groups": lambda x: lax.conv_general_dilated(
        x, KERNEL[:, :, :2], (1, 1), "VALID", feature_group_count=2, dimension_numbers=("NHWC", "HWIO", "NHWC")
    ),
    "gelu": partial(jax.nn.gelu, approximate=False),
    "indexing": lambda x: x[:, ::-2] * x[:, 1, 2:].max(1)[:, None, None],
    "leaky relu": lambda x: jax.nn.leaky_relu(x, 0.2),
    "matrix products": lambda x: jnp.einsum("bhwc,dc->bhwd", x, KERNEL[0, 0]) @ KERNEL[0, 1],
    "max pooling with padding": lambda x: lax.reduce_window(
        jnp.pad(x, ((0, 0), (1, 2), (1, 1), (0, 0)), constant_values=-jnp.inf),
        -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID",
    ),
    "means that are taken off": lambda x: (x - x.mean((1, 2), keepdims=True)) / x.max((2, 3), keepdims=True),
    "reflected pixels": lambda x: jnp.pad(x, ((0, 0), (2, 1), (0, 0), (0, 0)), mode="reflect"),
    "relu6": jax.nn.relu6,
    "scores over pixels": lambda x: jax.nn.softmax(x.reshape(x.shape[0], -1, 4), axis=1),
    "silu": jax.nn.silu,
    "strided slices": lambda x: lax.slice(x, (0, 1, 0, 0), (x.shape[0], 6, 5, 4), (1, 2, 3, 1)),
    "transposition": lambda x: (x.transpose(0, 3, 1, 2) * np.arange(6, dtype=np.float32)).reshape(x.shape[0], -1),
}  # fmt: skip


def of_any_batch(function):
    shape = jax_export.symbolic_shape("b, 6, 6, 4")
    return onnx_model.of_function(function, jax.ShapeDtypeStruct(shape, "float32"))


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations(name):
    x = np.random.default_rng(2).normal(size=(3, 6, 6, 4)).astype(np.float32)
    model = of_any_batch(OPERATIONS[name])
    onnx.checker.check_model(model, full_check=True)
    wanted = quick_jit(OPERATIONS[name])(x)
    np.testing.assert_allclose(answers(model, x), wanted, rtol=1e-5, atol=1e-5)


def test_a_softmax_is_one():
    model = of_any_batch(lambda x: jax.nn.softmax(x.reshape(x.shape[0], -1, 4) * 2, axis=1))
    assert operations(model) == {"Transpose": 2, "Reshape": 1, "Mul": 1, "Softmax": 1}


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda x: jnp.sort(x, axis=1), "sort"),
        (lambda x: jnp.cumsum(x, axis=1), "cumsum"),
        (lambda x: lax.conv_transpose(x, KERNEL, (2, 2), "SAME"), "conv_general_dilated with lhs"),
        (lambda x: lax.scan(lambda sum, y: (sum + y, y), x[:, 0] * 0, x.swapaxes(0, 1))[0], "scan"),
        (lambda x: lax.while_loop(lambda x: x.sum() > 0, lambda x: x - 1, x), "while"),
        (lambda x: x[np.arange(1), x.argmax(1)], "argmax"),
        (lambda x: lax.pad(x, 0.0, ((0, 0, 0), (0, 0, 1), (0, 0, 0), (0, 0, 0))), "pad between"),
        (lambda x: jnp.concatenate([x, jnp.zeros((x.shape[0], 6, 6, 1))], axis=3), "concatenate"),
        (lambda x: jnp.einsum("bhwc,bhwd->bcd", x, x), "dot_general"),
    ],
)  # fmt: skip
def test_what_nothing_stands_for_is_refused_by_name(function, name):
    with pytest.raises(UserError, match=f"as ONNX: JAX's {name}.*leave --onnx away"):
        of_any_batch(function)


@pytest.fixture
def call(small_run, monkeypatch, tmp_path, capsys):
    """A command line in a folder of its own -> its exit code, what it prints, its errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trained, "open_model", lambda *_: small_run)

    def call(*arguments):
        code = export.main(["--workdir", "run", *map(str, arguments)])
        return code, *capsys.readouterr()

    return call


def test_the_command_line(call, small_run, tmp_path):
    code, printed, errors = call("--onnx", "model.onnx")
    assert code == 0, errors
    assert {each.name for each in tmp_path.iterdir()} == {"model.onnx", "model.onnx.json"}
    assert printed.splitlines()[:2] == ["model.onnx", "model.onnx.json"]
    assert "with onnxruntime 1.14 or newer" in printed
    about = json.loads((tmp_path / "model.onnx.json").read_text())
    assert (about["opset"], about["input"]["shape"]) == (18, ["b", 32, 32, 3])
    assert about["versions"]["onnxruntime"] == onnxruntime.__version__
    assert about["versions"]["onnx"] == onnx.__version__ and "jax" in about["versions"]
    assert about["class_names"] == list("0123456789") and "platforms" not in about
    known = {}
    exec(printed.split("\n\n")[-1], known)
    wanted = export_check.own_answers(small_run, known["images"])
    np.testing.assert_allclose(known["probabilities"], wanted, rtol=0, atol=1e-5)
    onnx.checker.check_model("model.onnx")


def test_a_fixed_batch(call, tmp_path, monkeypatch):
    monkeypatch.setattr(export_check, "check", lambda *_: [])
    code, printed, _ = call("--onnx", "model.onnx", "--batch", "2")
    assert code == 0 and "np.zeros((2, 32, 32, 3), np.uint8)" in printed
    loaded = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
    assert loaded.get_inputs()[0].shape == [2, 32, 32, 3]
    assert loaded.get_outputs()[0].shape == [2, 10]
    assert json.loads((tmp_path / "model.onnx.json").read_text())["output"]["shape"] == [2, 10]


def test_both_files(call, tmp_path, monkeypatch):
    monkeypatch.setattr(export_check, "check", lambda *_: [])
    code, printed, _ = call("--onnx", "m.onnx", "--out", "m.jaxexport", "--platforms", "cpu")
    assert code == 0
    files = {"m.onnx", "m.onnx.json", "m.jaxexport", "m.jaxexport.json"}
    assert {each.name for each in tmp_path.iterdir()} == files
    assert printed.count("To load it") == 2


def test_every_machine_writes_the_same_bytes(small_run, monkeypatch):
    content = onnx_model.of_run(small_run).SerializeToString(deterministic=True)
    assert str(ROOT).encode() not in content
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert onnx_model.of_run(small_run).SerializeToString(deterministic=True) == content


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("raise ValueError('no such operation')", "can't call"),
        ("import cifar_jax", "can't call"),
        ("import numpy as np; probabilities = np.full((3, 10), 2.0)", "gives other probabilities"),
    ],
)
def test_what_does_not_do_what_the_run_does_is_not_written(
    call, tmp_path, monkeypatch, lines, message
):
    monkeypatch.setattr(onnx_model, "how_to_load", lambda *_: lines)
    monkeypatch.setattr(export_check, "own_answers", lambda *_: np.zeros((3, 10)))
    code, printed, errors = call("--onnx", "model.onnx")
    assert code == 2 and not printed and errors.count("\n") == 1
    assert errors.startswith(f"error: onnxruntime {onnxruntime.__version__} {message}")
    assert "nothing was written; give a fixed batch (--batch 1)" in errors
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime"])
def test_without_its_packages_it_says_what_to_install(call, tmp_path, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    code, printed, errors = call("--onnx", "model.onnx")
    assert code == 2 and not printed and errors.count("\n") == 1
    assert "extra `onnx`" in errors and "pip install onnx onnxruntime" in errors
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --out FILE, --onnx FILE, or both"),
        (["--onnx", "."], "--onnx . is a folder; give a file, such as model.onnx"),
        (["--onnx", "none/model"], "there is no folder none"),
        (["--onnx", "model", "--batch", "0"], "--batch is 1 to 4,096, not 0"),
        (["--onnx", "model", "--savedmodel", "saved"], "give --out FILE, too"),
        (["--onnx", "m", "--out", "m"], "two things would be written as"),
        (["--onnx", "m.json", "--out", "m"], "two things would be written as"),
        (["--onnx", "x" * 250], "File name too long"),
    ],
)
def test_what_can_not_be_done_is_said_and_nothing_is_left(call, tmp_path, arguments, message):
    code, printed, errors = call(*arguments)
    assert code == 2 and not printed and errors.count("\n") == 1
    assert errors.startswith("error: ") and message in errors
    assert not list(tmp_path.iterdir())
