"""Images inside a page: their choice, and as data URIs."""

import base64
import io
from typing import NamedTuple

import numpy as np
from PIL import Image

from cifar_jax.analysis import scores

SEED = 0
LARGEST = 96  # pixels of a side; greater images are made smaller


class Shot(NamedTuple):
    """A classified image."""

    uri: str
    index: int  # in the data set's own training or test images
    true: int
    predicted: int
    confidence: float  # fraction
    right: bool


def data_uri(image):
    """Encode an image as a PNG, 0 to 255, [H, W, C] with one or three channels, as a data URI."""
    image = np.asarray(image, np.uint8)
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    picture.thumbnail((LARGEST, LARGEST))
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def chosen(labels, predicted, right, most):
    """Choose images to show: drawn at random, each pair of true and predicted class in turn.

    Args:
        labels, predicted: int [N].
        right: True for images that are right, False for wrong ones.
        most: how many at most.
    Returns:
        int [M]; a longer choice begins with a shorter one.
    """
    places = np.flatnonzero((labels == predicted) == right)
    places = np.random.default_rng(SEED).permutation(places)
    turns, seen = np.zeros(len(places), np.int64), {}
    pairs = zip(labels[places].tolist(), predicted[places].tolist(), strict=True)
    for i, pair in enumerate(pairs):
        turns[i] = seen[pair] = seen.get(pair, -1) + 1
    return places[np.argsort(turns, kind="stable")][:most]


def gallery(images, predictions, most, most_bytes):
    """Choose right and wrong images, half and half where there are as many of both.

    Args:
        images: uint8 [N, H, W, C], in the order of the predictions.
        predictions: {"index", "label", "logits"}.
        most: how many at most.
        most_bytes: of their data URIs together.
    Returns:
        list of Shot, the most confident first.
    """
    labels, logits = predictions["label"], predictions["logits"]
    probabilities = scores.probabilities(logits)
    answers = logits.argmax(axis=1)
    wrong, right = (chosen(labels, answers, each, most) for each in (False, True))
    half = max(most // 2, most - len(right))
    wrong = wrong[:half]
    turns = list(zip(np.linspace(0, 1, len(wrong)), wrong, strict=True))
    right = right[: most - len(wrong)]
    turns += zip(np.linspace(0, 1, len(right)), right, strict=True)
    shots, size = [], 0
    for _, i in sorted(turns, key=lambda turn: turn[0]):
        uri = data_uri(images[i])
        size += len(uri)
        if size > most_bytes:
            break
        true, answer = int(labels[i]), int(answers[i])
        confidence = float(probabilities[i, answer])
        index = int(predictions["index"][i])
        shots.append(Shot(uri, index, true, answer, confidence, true == answer))
    return sorted(shots, key=lambda shot: -shot.confidence)
