"""A trained model in Python: what it is given, what it answers, how it shows itself."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from cifar_jax import trained
from cifar_jax.data import given
from cifar_jax.errors import UserError


@pytest.fixture(scope="module")
def model(workdir):
    return trained.load(workdir)


@pytest.fixture(scope="module")
def images(run):
    return np.asarray(run.dataset.split("test")[0][:6])


@pytest.fixture(scope="module")
def expected(run, images):
    logits = trained.logits(run, images).astype(np.float64)
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def file_of(image, folder, name="a.png"):
    Image.fromarray(image).save(folder / name)
    return folder / name


SEVERAL = {
    "uint8": lambda images: images,
    "int64": lambda images: images.astype(np.int64),
    "float 0 to 1": lambda images: (images / 255).astype(np.float32),
    "channels first": lambda images: images.transpose(0, 3, 1, 2),
    "float, channels first": lambda images: images.transpose(0, 3, 1, 2) / 255,
    "a list of arrays": list,
    "a list of pictures": lambda images: [Image.fromarray(each) for each in images],
    "twice as large": lambda images: images.repeat(2, axis=1).repeat(2, axis=2),
}


@pytest.mark.parametrize("kind", SEVERAL)
def test_several_images(model, images, expected, kind):
    answers = model(SEVERAL[kind](images))
    tolerance = 0.05 if kind == "twice as large" else 1e-5  # antialiasing looks at neighbours
    assert answers.shape == (6, 10) and answers.dtype == np.float64
    np.testing.assert_allclose(answers, expected, atol=tolerance)
    np.testing.assert_allclose(answers.sum(1), 1)


@pytest.mark.thorough
def test_one_image(model, images, expected, tmp_path):
    path = file_of(images[0], tmp_path)
    grey = Image.fromarray(images[0]).convert("L")
    for one in (images[0], images[0] / 255, images[0].transpose(2, 0, 1), path, str(path)):
        np.testing.assert_allclose(model(one), expected[0], atol=1e-5)
    assert model(np.asarray(grey)).shape == model(grey).shape == (10,)
    np.testing.assert_array_equal(model(np.asarray(grey)), model(grey))
    np.testing.assert_allclose(model([path, images[1]]), expected[:2], atol=1e-5)


def test_jax_arrays_and_torchs_layout(model, images, expected):
    import jax.numpy as jnp

    np.testing.assert_allclose(model(jnp.asarray(images)), expected, atol=1e-5)


REFUSED = {
    "floating point to 255": (np.full((2, 32, 32, 3), 200.0), r"of 200 to 200, not of 0 to 1"),
    "normalised": (np.linspace(-2, 2, 3072).reshape(32, 32, 3), "of -2 to 2, not of 0 to 1"),
    "NaN": (np.full((32, 32, 3), np.nan), "not of 0 to 1"),
    "negative integers": (np.full((32, 32, 3), -1), "integers of -1 to -1"),
    "16 bits": (np.full((32, 32, 3), 4000, np.uint16), "integers of 4000 to 4000"),
    "bool": (np.ones((32, 32, 3), bool), "of type bool"),
    "text": (np.array([["a"] * 32] * 32), "of type <U1"),
    "both axes could be channels": (np.zeros((3, 32, 3), np.uint8), "3 x 32 x 3 is no image"),
    "four channels": (np.zeros((32, 32, 4), np.uint8), "32 x 32 x 4"),
    "many grey ones": (np.zeros((7, 32, 32), np.uint8), "7 x 32 x 32"),
    "a vector": (np.zeros(3072, np.uint8), "3072 is no image"),
    "a picture of 32 bits": (Image.new("I", (32, 32), 40_000), "mode I has no 8 bits"),
    "a picture of 16 bits": (Image.new("I;16", (32, 32), 40_000), "mode I;16 has no 8 bits"),
    "a picture of floats": (Image.new("F", (32, 32), 0.5), "mode F has no 8 bits"),
    "a number": (5, "no axis is no image"),
    "no image": (np.zeros((0, 32, 32, 3), np.uint8), "0 x 32 x 32 x 3"),
    "an empty list": ([], "holds no image"),
    "a list of several": ([np.zeros((2, 32, 32, 3), np.uint8)], "holds several images"),
    "no file": ("nowhere.png", "there is no such file"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_could_mean_several_things_is_refused(kind):
    wrong, message = REFUSED[kind]
    with pytest.raises(UserError, match=message) as caught:
        given.as_images(wrong, 32)
    assert kind == "no file" or "give uint8 [B, H, W, 3]" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.thorough
def test_it_explains_one_picture(model, images, expected):
    shown = model.explain(images[0])
    assert shown.class_name == model.class_names[expected[0].argmax()]
    assert shown.probability == pytest.approx(expected[0].max(), abs=1e-5)
    assert shown.map.shape == (32, 32) and 0 <= shown.map.min() <= shown.map.max() <= 1
    assert shown.overlay.shape == (32, 32, 3) and shown.overlay.dtype == np.uint8
    np.testing.assert_array_equal(shown.image, images[0])
    picture = Image.open(io.BytesIO(shown._repr_png_()))
    assert picture.size == (512, 256)
    other = model.explain(images[0], class_name="3")
    assert other.class_name == "3" and not np.array_equal(other.map, shown.map)
    for wrong, message in ((images[:2], "one image"), (images[0], "no class 'cat'")):
        with pytest.raises(UserError, match=message):
            model.explain(wrong, class_name="cat")


@pytest.mark.thorough
def test_it_is_evaluated(model, run):
    images, labels = run.dataset.split("test")
    evaluation = model.evaluate(images, labels)
    right = np.mean(trained.logits(run, images).argmax(1) == labels)
    assert evaluation["accuracy"] == right and evaluation["images"] == len(labels)
    json.dumps(evaluation)
    named = [model.class_names[label] for label in labels[:20]]
    assert model.evaluate(images[:20], named)["images"] == 20
    with pytest.raises(UserError, match="20 images and 3 labels"):
        model.evaluate(images[:20], labels[:3])


def test_it_shows_itself_in_a_line(model, run, images):
    for each in (model, run, model.explain(images[0])):
        assert len(repr(each)) < 300 and "\n" not in repr(each)
    assert "basic_net" in repr(model) and "10 classes (0, 1, 2" in repr(model)


def test_a_run_an_evaluation_and_a_config_show_themselves_in_a_few_lines(model, images, workdir):
    from cifar_jax.config import default, notebooks
    from cifar_jax.console.summaries import Summary

    summary = Summary(json.loads((workdir / "summary.json").read_text()))
    said = repr(summary)
    assert f"test accuracy {100 * summary['test_accuracy']:.2f} % of 359 images" in said
    config = default()
    config.batch_size = 7
    assert notebooks.shortly(config) == "<config of basic_net on cifar10: batch_size=7>"
    assert notebooks.shortly(config.optimizer) == repr(config.optimizer)
    labels = model(images).argmax(1)
    for shown in (said, repr(model.evaluate(images, labels)), repr(model), repr(model.run)):
        assert len(shown) < 700 and shown.count("\n") <= 2
    assert json.loads(json.dumps(summary)) == summary


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["confusion", "classes", "reliability", "curves"])
def test_every_figure_of_a_model_shows_itself_and_is_saved(model, run, tmp_path, name):
    images, labels = run.dataset.split("test")
    evaluation = model.evaluate(images[:40], labels[:40])
    drawn = model.curves() if name == "curves" else getattr(evaluation, name)()
    assert Image.open(io.BytesIO(drawn._repr_png_())).width > 200
    drawn.save(tmp_path / "a.svg")
    assert "<svg" in (tmp_path / "a.svg").read_text()
    with pytest.raises(UserError, match="neither .png nor .svg"):
        drawn.save(tmp_path / "a.pdf")


def test_a_model_in_the_box_has_no_curves():
    with pytest.raises(UserError, match="no metrics.jsonl with curves"):
        trained.load("pretrained:speedrun").curves()
