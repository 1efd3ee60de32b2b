"""python -m cifar_jax.gradcam."""

import dataclasses
import shutil

import numpy as np
import pytest
from command_line import run_module
from PIL import Image

from cifar_jax import gradcam, trained
from cifar_jax.analysis import explain, overlays
from cifar_jax.analysis import gradcam as method


@pytest.fixture(scope="module")
def workdir(pair, tmp_path_factory):
    """Of a run of basic_net on the digits, some of which it gets wrong."""
    return shutil.copytree(pair[0], tmp_path_factory.mktemp("gradcam") / "run")


@pytest.fixture
def call(workdir, run, monkeypatch, capsys):
    """A command line -> its exit code, what it prints, its errors."""
    monkeypatch.setattr(trained, "open_run", lambda *_: run)

    def call(*arguments):
        code = gradcam.main(["--workdir", str(workdir), *map(str, arguments)])
        return code, *capsys.readouterr()

    return call


def arrays(folder):
    with np.load(folder / "gradcam.npz", allow_pickle=False) as file:
        return dict(file)


@pytest.mark.thorough
def test_as_a_user_types_it(workdir):
    """Into the folder of the run; the maps are those of the method, of the predicted classes."""
    done = run_module("gradcam", "--workdir", workdir, "--count", 3)
    assert done.returncode == 0 and not done.stderr, done.stderr
    folder = workdir / "gradcam"
    assert (folder / "gradcam.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (folder / "gradcam.svg").read_text()

    saved, run = arrays(folder), trained.open_run(workdir)
    images, labels, _ = trained.split(run, "test")
    logits = trained.logits(run, images[:3])
    np.testing.assert_array_equal(saved["index"], [0, 1, 2])
    np.testing.assert_array_equal(saved["label"], labels[:3])
    np.testing.assert_array_equal(saved["class"], logits.argmax(1))
    np.testing.assert_array_equal(saved["predicted"], logits.argmax(1))
    likelihoods = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(saved["confidence"], likelihoods.max(1), rtol=1e-4)
    assert saved["layer"] == "conv2_relu" and saved["maps"].dtype == np.float32
    expected = method.maps(run.inference.model, run.variables, run.inference.normalize(images[:3]))
    np.testing.assert_allclose(saved["maps"], expected, rtol=1e-3, atol=1e-5 * np.max(expected))
    shutil.rmtree(folder)


@pytest.mark.thorough
@pytest.mark.parametrize("which", ["correct", "wrong"])
def test_the_first_that_are_right_or_wrong(call, run, tmp_path, which):
    code, _, errors = call(
        "--images", which, "--count", 5, "--out", tmp_path, "--split", "validation"
    )
    assert code == 0, errors
    saved = arrays(tmp_path)
    images, labels, indices = trained.split(run, "validation")
    correct = trained.logits(run, images).argmax(1) == labels
    expected = np.flatnonzero(correct if which == "correct" else ~correct)[:5]
    assert len(expected)
    np.testing.assert_array_equal(saved["index"], indices[expected])
    assert np.all((saved["predicted"] == saved["label"]) == (which == "correct"))


def test_a_class_that_is_asked_for(call, run, tmp_path, monkeypatch):
    """By its number, and by its name."""
    assert call("--class", "7", "--count", 2, "--out", tmp_path / "7")[0] == 0
    np.testing.assert_array_equal(arrays(tmp_path / "7")["class"], [7, 7])
    names = tuple("abcdefghij")
    named = dataclasses.replace(run, dataset=dataclasses.replace(run.dataset, class_names=names))
    monkeypatch.setattr(trained, "open_run", lambda *_: named)
    assert call("--class", "h", "--count", 2, "--out", tmp_path / "h")[0] == 0
    np.testing.assert_array_equal(arrays(tmp_path / "h")["maps"], arrays(tmp_path / "7")["maps"])


def test_files(call, run, tmp_path):
    """A test image saved and read again is explained as itself; a name is no formula."""
    images, *_ = trained.split(run, "test")
    paths = [tmp_path / "a $x_1.png", tmp_path / "grey.tiff"]
    Image.fromarray(images[4]).save(paths[0])
    Image.fromarray(images[4]).convert("L").resize((100, 50)).save(paths[1])
    code, _, errors = call("--images", *paths, "--layer", "conv1", "--out", tmp_path)
    assert code == 0, errors
    saved = arrays(tmp_path)
    assert list(saved["source"]) == ["a $x_1.png", "grey.tiff"]
    assert list(saved["index"]) == list(saved["label"]) == [-1, -1]
    assert saved["maps"].shape == (2, 28, 28)
    np.testing.assert_array_equal(saved["images"][0], images[4])
    assert saved["predicted"][0] == trained.logits(run, images[4:5]).argmax()


def test_layers_are_listed(call):
    code, printed, _ = call("--list-layers")
    assert code == 0
    lines = printed.splitlines()
    assert " ".join(lines[0].split()) == "conv1 28 x 28 x 6"
    assert [line for line in lines if "default" in line] == [lines[3]]
    assert lines[3].startswith("conv2_relu") and lines[-1].split() == ["logits", "10"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--images", "none.png"], "none.png: there is no such file"),
        (["--images", "correct", "wrong"], "correct: there is no such file"),
        (["--images", *["a.png"] * 61], "61 files are too many"),
        (["--class", "eleven"], "digits has no class 'eleven'"),
        (["--class", "10"], "digits has no class '10'"),
        (["--layer", "conv3"], "no layer 'conv3'; did you mean `conv"),
        (["--layer", "fc1"], "'fc1' gives vectors, not maps"),
        (["--count", "0"], "--count is 1 to 60, not 0"),
        (["--split", "all"], "no split 'all'"),
        (["--out", "/dev/null/x", "--count", "1"], "can't write to /dev/null/x"),
    ],
)
def test_what_can_not_be_done_is_said(call, arguments, message):
    code, _, errors = call(*arguments)
    assert code == 2 and errors.startswith("error: ") and message in errors


def test_no_run_is_said(tmp_path, capsys):
    assert gradcam.main(["--workdir", str(tmp_path)]) == 2
    assert "no workdir of a run" in capsys.readouterr().err


def test_no_image_of_a_kind_is_said(call, run, monkeypatch):
    images, labels, _ = trained.split(run, "test")
    right = trained.logits(run, images).argmax(1) == labels
    only = (images[right], labels[right], np.flatnonzero(right))
    monkeypatch.setattr(trained, "split", lambda *_: only)
    code, _, errors = call("--images", "wrong")
    assert code == 2 and "gets no image of the split test wrong" in errors


def test_an_overlay_is_lightest_where_the_map_is_greatest():
    """In grey, on a white image and on a black one."""
    heat = np.linspace(0, 1, 64).reshape(8, 8)
    for value in (0, 255):
        colours = overlays.overlay(np.full((8, 8, 3), value, np.uint8), heat)
        assert colours.min() >= 0 and colours.max() <= 1
        lightness = colours @ (0.2126, 0.7152, 0.0722)
        assert lightness[-1, -1] == lightness.max() > lightness[0, 0] + 0.1


def test_long_names_and_strange_letters_stay_within_a_figure():
    title = explain._title("a\nb" + "x" * 40, "x" * 18, "y" * 18, 0.5)
    assert title.startswith("a\ufffdbx") and "…" in title and title.count("\n") == 1
    figure = overlays.draw(
        [
            overlays.Example(
                np.zeros((4, 4, 3), np.uint8), np.zeros((2, 2)), np.zeros((4, 4)), "$a$"
            )
        ],
        "$b",
    )
    figure.canvas.draw()


def test_a_map_of_nothing_says_so():
    """A black square alone would look like a mistake."""
    image = np.zeros((4, 4, 3), np.uint8)
    for map, words in ((np.zeros((2, 2)), [overlays.EMPTY]), (np.eye(2), [])):
        figure = overlays.draw([overlays.Example(image, map, np.zeros((4, 4)), "a")], "title")
        texts = [text for axes in figure.axes for text in axes.texts]
        assert [" ".join(text.get_text().split()) for text in texts] == words
