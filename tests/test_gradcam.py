"""python -m cifar_jax.gradcam."""

import dataclasses
import shutil

import numpy as np
import pytest
from command_line import run_module
from PIL import Image
from scipy import special

from cifar_jax import gradcam, trained
from cifar_jax.analysis import explain, overlays, photos
from cifar_jax.analysis import gradcam as method
from cifar_jax.data import image_files

pytestmark = pytest.mark.thorough


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


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are saved, and nothing of them written."""
    figures = []
    monkeypatch.setattr(explain.style, "save", lambda figure, *_: figures.append(figure) or [])
    return figures


def test_a_photo_is_shown_as_it_is_beside_its_three_best_classes(call, run, tmp_path, drawn):
    """Turned as its EXIF says, all its pixels, the map as wide as it; of a large one fewer pixels."""
    wide = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 300, 3), np.uint8))
    turned = wide.getexif()
    turned[274] = 6  # the camera was held upright
    wide.save(tmp_path / "tall.png", exif=turned)
    wide.resize((3000, 400)).save(tmp_path / "large.png")
    code, _, errors = call("--images", *tmp_path.glob("*.png"), "--out", tmp_path)
    assert code == 0 and not errors, errors
    rows = {row.get_suptitle().split()[0]: row for row in drawn[0].subfigs[1].subfigs}
    assert rows["tall.png"].get_suptitle().endswith("40 x 300 pixels")
    photo, seen, over, words = rows["tall.png"].axes
    upright = np.asarray(wide.transpose(Image.Transpose.ROTATE_270))
    np.testing.assert_array_equal(photo.images[0].get_array(), upright)
    saved = arrays(tmp_path)
    place = list(saved["source"]).index("tall.png")
    np.testing.assert_array_equal(saved["images"][place], seen.images[0].get_array())
    assert over.images[0].get_array().shape == (300, 40, 3)
    likelihoods = special.softmax(trained.logits(run, saved["images"])[place])
    best = np.argsort(-likelihoods)[:3]
    assert [text.get_text() for text in words.texts] == [
        f"{number} {100 * likelihoods[number]:.1f} %" for number in best
    ]
    assert rows["large.png"].axes[0].images[0].get_array().shape == (137, 1024, 3)


def test_the_class_that_is_asked_for_stands_beside_the_best(call, run, tmp_path, drawn):
    """... once, if it is one of them."""
    Image.new("RGB", (9, 9), "red").save(tmp_path / "red.png")
    order = np.argsort(-trained.logits(run, image_files.read(tmp_path / "red.png")[None])[0])
    for asked in (order[1], order[-1]):
        files = ("--images", tmp_path / "red.png", "--out", tmp_path)
        assert call(*files, "--class", asked)[0] == 0
    texts = [[t.get_text().split()[0] for t in figure.axes[3].texts] for figure in drawn]
    assert texts == [[str(n) for n in order[:3]], [str(n) for n in (*order[:3], order[-1])]]


@pytest.mark.parametrize("size", [(90, 30), (30, 90), (2, 4)])
def test_a_map_lies_over_all_of_a_photo(size):
    """All of it went into the model's square, and so the map's corner is the photo's."""
    photo = photos.of_picture(Image.new("RGB", size, "grey"))
    over = photos.overlay(photo, np.array([[0, 0], [0, 1.0]]))
    lightness = over @ (0.2126, 0.7152, 0.0722)
    assert lightness[-1, -1] == lightness.max() > lightness[0, -1] > 0
    assert over.shape[1] / over.shape[0] == size[0] / size[1] and max(over.shape) >= 90


def test_what_is_replaced_is_said(call, tmp_path, drawn):
    """... by the next call, of what the one before it wrote."""
    Image.new("RGB", (9, 9), "red").save(tmp_path / "red.png")
    out = ("--out", tmp_path / "results")
    assert "replaced:" not in call("--count", "2", *out)[1]
    last = call("--images", tmp_path / "red.png", *out)[1].splitlines()[-1]
    assert last == "replaced: the figure of an earlier call (2 images of test)"
    last = call("--count", "1", *out)[1].splitlines()[-1]
    assert last == "replaced: the figure of an earlier call (1 file)"
    (tmp_path / "results" / "gradcam.npz").write_bytes(b"no archive")
    last = call("--count", "1", *out)[1].splitlines()[-1]
    assert last.endswith("(gradcam.npz, which can't be read)")


def test_only_photos_need_no_run(capsys):
    """Images of a split are a run's own."""
    for arguments in ([], ["--images", "wrong"]):
        assert gradcam.main(arguments) == 2
        assert "give --workdir FOLDER" in capsys.readouterr().err


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
