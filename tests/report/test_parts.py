"""What a page is put together from: which pictures, what lies over them, words."""

import base64
import io

import numpy as np
from PIL import Image

from cifar_jax.analysis import gradcam, overlays, scores
from cifar_jax.analysis.report import collect, pictures, views, words


def test_which_images_are_chosen():
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, 500)
    predicted = np.where(random.random(500) < 0.5, labels, random.integers(0, 4, 500))
    for right in (True, False):
        places = pictures.chosen(labels, predicted, right, 24)
        assert len(set(places.tolist())) == 24
        assert ((labels[places] == predicted[places]) == right).all()
        pairs = {*zip(labels[places].tolist(), predicted[places].tolist(), strict=True)}
        assert len(pairs) == (4 if right else 12)  # each gets its turn
        np.testing.assert_array_equal(pictures.chosen(labels, predicted, right, 9), places[:9])
    none = pictures.chosen(labels, labels, False, 24)
    assert not len(none)


def test_the_gallery_keeps_to_its_limits():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (60, 8, 8, 1), np.uint8)
    logits = random.normal(size=(60, 3)).astype(np.float32)
    predictions = {"index": np.arange(60), "label": random.integers(0, 3, 60), "logits": logits}
    shots = pictures.gallery(images, predictions, 20, 10**6)
    assert [shot.right for shot in shots].count(True) == 10 == len(shots) / 2
    confidences = [shot.confidence for shot in shots]
    assert confidences == sorted(confidences, reverse=True)
    likely = scores.probabilities(logits)
    for shot in shots:
        assert shot.confidence == likely[shot.index].max() and shot.uri == pictures.data_uri(
            images[shot.index]
        )
    size = sum(len(shot.uri) for shot in shots)
    assert 0 < len(pictures.gallery(images, predictions, 20, size // 2)) < 20
    assert pictures.gallery(images, predictions, 0, 10**6) == []


def test_a_map_is_put_over_its_image_as_in_the_figures_of_gradcam():
    maps = np.zeros((2, 2, 2), np.float32)
    maps[0, 0, 0] = 3
    image, zeros = np.full((8, 8, 3), 100, np.uint8), np.zeros(2, np.int64)
    cam = collect.GradCam(
        **{"place": "gradcam", "layer": "conv2", "images": np.stack([image, image])},
        **{"maps": maps, "labels": zeros, "predicted": zeros, "explained": zeros},
        **{"confidence": np.ones(2), "sources": ["test 0", "a.png"], "count": 2},
    )
    over, empty = (picture(each["map"]) for each in views.gradcam(cam, ["cat"])["examples"])
    heat = np.asarray(gradcam.resized(gradcam.normalized(maps), 8, 8))
    np.testing.assert_array_equal(over, np.uint8(255 * overlays.overlay(image, heat[0])))
    np.testing.assert_array_equal(empty, np.uint8(255 * overlays.overlay(image, heat[1])))
    assert over[0, 0].sum() > 400 > over[7, 7].sum()
    assert [each["empty"] for each in views.gradcam(cam, ["cat"])["examples"]] == [
        "",
        overlays.EMPTY,
    ]


def picture(uri):
    """The pixels of a data URI."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_words():
    assert words.value(0) == "0" and words.value(False) == "no" and words.value(None) == "none"
    assert words.value((1, 2)) == "1, 2" and words.value("") == "–"
    assert [words.duration(s) for s in (9.96, 125, 7300)] == ["10.0 s", "2 min 5 s", "2 h 1 min"]
    assert words.known({}, "x", str) == words.known({"x": None}, "x", str) == "–"
