"""The models in the box: opened by name, asked, trained from, and refused where they are not what they were."""

import csv
import hashlib
import json
import runpy

import jax
import numpy as np
import pytest
from command_line import ROOT
from PIL import Image

from cifar_jax import config as config_lib
from cifar_jax import data, gradcam, models, ood, predict, serve, trained
from cifar_jax.analysis.ood import pictures as ood_pictures
from cifar_jax.errors import UserError
from cifar_jax.models import box, weight_files
from cifar_jax.train.setup import build, initial_variables
from cifar_jax.trained import likeness

COMMIT = "0123abc"


@pytest.fixture(scope="module")
def written(workdir, tmp_path_factory):
    """A folder with the model of a run, as the box has it."""
    folder = tmp_path_factory.mktemp("box")
    keep = runpy.run_path(str(ROOT / "benchmarks/keep_weights.py"))["keep"]
    keep(workdir, "small", COMMIT, "the digits", folder)
    return folder


@pytest.fixture
def shelf(written, monkeypatch):
    monkeypatch.setattr(box, "FOLDER", written)
    box.card.cache_clear()
    yield written
    box.card.cache_clear()


@pytest.mark.thorough
def test_the_card_says_what_the_weights_are(shelf, run):
    card = box.card("small")
    content = (shelf / "small.safetensors").read_bytes()
    assert card["sha256"] == hashlib.sha256(content).hexdigest()
    assert (card["commit"], card["data"], card["seed"]) == (COMMIT, "the digits", run.config.seed)
    assert card["config"]["model"]["name"] == "basic_net" and card["step"] == run.step
    images, labels, _ = trained.split(run, "test")
    right = 100 * np.mean(trained.logits(run, images).argmax(1) == labels)
    assert abs(card["accuracy"] - right) < 0.5
    low, high = card["interval"]
    assert low < card["accuracy"] < high and 0 < len(card["most_confused"]) <= 5
    assert card["config"]["dataset"]["data_dir"] == ""


@pytest.mark.thorough
def test_its_answers_are_those_of_the_run_to_half_precision(shelf, run):
    model = models.pretrained("small")
    images = trained.split(run, "test")[0][:50]
    logits = model.inference.logits(model.variables, model.inference.normalize(images))
    np.testing.assert_allclose(logits, trained.logits(run, images), rtol=0.01, atol=0.03)
    leaves = jax.tree.leaves(model.variables)
    assert all(leaf.dtype == np.float32 for leaf in leaves)
    opened = trained.open_model("pretrained:small")
    assert opened.dataset.class_names == run.dataset.class_names
    np.testing.assert_array_equal(
        trained.logits(opened, images), trained.logits(trained.open_run("pretrained:small"), images)
    )


@pytest.mark.thorough
def test_predict_needs_nothing_but_the_picture(shelf, run, tmp_path, capsys):
    images = trained.split(run, "test")[0]
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for name, image in {"seven": images[0], "noise": noise}.items():
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    files = [str(tmp_path / f"{name}.png") for name in ("seven", "noise")]
    assert predict.main(["--json", *files]) == 0
    printed, said = capsys.readouterr()
    answers = json.loads(printed)
    expected = likeness.energy(
        trained.logits(trained.open_model("pretrained:small"), np.stack([images[0], noise]))
    )
    limit = box.card("small")["limit"]["threshold"]
    assert [each["unlike"] for each in answers] == list(expected < limit)
    introduced = box.introduction(box.card("small"))
    assert said == f"note: {introduced}\n" and "nothing but 0, 1, 2" in introduced
    assert predict.main(files) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [each.endswith("\tunlike digits") for each in lines] == list(expected < limit)


@pytest.mark.thorough
def test_a_photo_is_explained_without_a_run(shelf, tmp_path, capsys, monkeypatch):
    """By the best model in the box, into the folder that its other results go to."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (60, 20), "red").save("red.png")
    assert gradcam.main(["--images", "red.png"]) == 0
    printed, said = capsys.readouterr()
    assert printed.startswith("pretrained_small, ") and said.startswith("note: small answers")
    assert (tmp_path / "pretrained_small" / "gradcam" / "gradcam.png").is_file()


@pytest.mark.thorough
def test_pictures_are_sorted_without_the_data_set(shelf, run, tmp_path, capsys, monkeypatch):
    """By its own limit and its energy alone: the verdicts of predict."""
    monkeypatch.setattr(data, "load", lambda *_, **__: pytest.fail("the data set is asked for"))
    monkeypatch.setattr(ood_pictures.style, "save", lambda *_: None)
    images = [*run.dataset.split("test")[0][:3], np.zeros((5, 70, 3), np.uint8)]
    for i, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    start = ["--workdir", "pretrained:small", "--images", str(tmp_path)]
    assert ood.main([*start, "--out", str(tmp_path / "out")]) == 0
    assert "validation images of digits" in capsys.readouterr().out
    with open(tmp_path / "out" / "images.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == ["file", "verdict", "class", "confidence", "energy", "energy_verdict"]
    assert predict.main(["--json", *(each["file"] for each in lines)]) == 0
    for line, answer in zip(lines, json.loads(capsys.readouterr().out), strict=True):
        assert (line["verdict"] == "unusual") == answer["unlike"]
        assert line["class"] == answer["predictions"][0]["class"]


def test_the_limit_lets_its_share_of_the_validation_images_pass(shelf, run):
    limit = trained.open_model("pretrained:small").limit
    model = trained.open_run("pretrained:small")
    held_out, test = (
        likeness.energy(trained.logits(model, trained.split(run, name)[0]))
        for name in ("validation", "test")
    )
    assert np.mean(held_out >= limit.threshold) == pytest.approx(likeness.ACCEPTED, abs=0.01)
    assert limit.false_alarms == pytest.approx(np.mean(test < limit.threshold), abs=0.005)
    assert limit.held_out == "validation images" and limit.test_images == len(test)


def test_the_page_is_of_it(shelf, capsys):
    run, limit = serve._open(serve._parse([]))
    assert str(run.workdir) == "pretrained_small" and limit == run.limit
    assert "note: small answers" in capsys.readouterr().out


def test_a_training_begins_with_it(shelf):
    config = config_lib.load(ROOT / "configs/quickstart.py")
    config.model.name, config.model.weights = "basic_net", "pretrained:small"
    given = initial_variables(build(config_lib.check(config), data.load("digits")))
    jax.tree.map(
        np.testing.assert_array_equal,
        given["params"],
        models.pretrained("small").variables["params"],
    )
    assert weight_files.digest("pretrained:small") == box.card("small")["sha256"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: models.pretrained("smal"), "no pretrained:smal; did you mean `small`"),
        (lambda: trained.open_model("pretrained:smal"), "did you mean `small`"),
        (lambda: trained.open_model("pretrained:small", "best"), "leave out --checkpoint"),
        (lambda: weight_files.load("pretrained:big", "basic_net"), "no pretrained:big"),
        (lambda: weight_files.load("pretrained:small", "big_net"), "pretrained:small"),
    ],
)
def test_what_is_refused(shelf, call, message):
    with pytest.raises(UserError, match=message):
        call()


def test_weights_that_are_not_the_cards_are_refused(shelf, tmp_path, monkeypatch):
    (tmp_path / "small.json").write_bytes((shelf / "small.json").read_bytes())
    (tmp_path / "small.safetensors").write_bytes((shelf / "small.safetensors").read_bytes()[:-1])
    monkeypatch.setattr(box, "FOLDER", tmp_path)
    with pytest.raises(UserError, match="not what its card says"):
        models.pretrained("small")


def test_an_empty_box_is_said(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(box, "FOLDER", tmp_path)
    assert predict.main(["cat.png"]) == 2
    assert "give a run with --workdir" in capsys.readouterr().err


@pytest.mark.thorough
@pytest.mark.parametrize("name", [path.stem for path in box.FOLDER.glob("*.json")])
def test_what_lies_in_the_box_is_whole(name):
    model = models.pretrained(name)
    size = model.card["config"]["dataset"]["image_size"]
    grey = np.full((1, size, size, 3), 128, np.uint8)
    logits = model.inference.logits(model.variables, model.inference.normalize(grey))
    assert np.isfinite(logits).all()
    assert model.card["accuracy"] > 90


def test_the_box_is_small():
    assert sum(path.stat().st_size for path in box.FOLDER.glob("*.safetensors")) <= 8e6
