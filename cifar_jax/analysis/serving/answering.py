"""The answer to one picture: its classes, the places that speak for the first, and whether it is like the data set."""

import dataclasses

import jax
import numpy as np

from cifar_jax import trained
from cifar_jax.analysis import explain, gradcam, overlays, scores
from cifar_jax.analysis.ood import COUNT
from cifar_jax.analysis.report.pictures import data_uri
from cifar_jax.data import image_files
from cifar_jax.trained import likeness, prediction
from cifar_jax.trained.likeness import Limit, energy


@dataclasses.dataclass(frozen=True)
class Model:
    """All that an answer needs."""

    run: trained.Trained  # its variables on the device
    layer: str  # of the maps
    limit: Limit | None  # None: the data set is not there to find one


def make_model(run, limit=None):
    """Make a Model of a trained.Trained, and answer once, so that all is compiled."""
    run = dataclasses.replace(run, variables=jax.device_put(run.variables))
    shape = (1, *run.image_shape)
    layer, _ = gradcam.choose_layer(run.inference.model, run.variables, shape)
    model = Model(run, layer, limit)
    answer(model, np.full(run.image_shape, 128, np.uint8))
    return model


def find_limit(run, most=COUNT):
    """Choose a limit by the first `most` validation images, and count false alarms among as many test images.

    Args:
        run: trained.Trained of open_run, with a validation split.
        most: images of each split at most.
    Returns:
        Limit.
    Raises:
        UserError: the run has no validation split.

    Liu et al., Energy-based Out-of-distribution Detection, 2020, https://arxiv.org/abs/2010.03759
    """
    return likeness.choose_limit(
        *(
            energy(trained.logits(run, trained.split(run, name)[0][:most]))
            for name in ("validation", "test")
        )
    )


def read(model, path):
    """Read a picture of any size as the model takes it; see image_files.read."""
    return image_files.read(path, model.run.image_shape[0])


def answer(model, image, top=3):
    """Answer to a picture.

    Args:
        model: Model.
        image: uint8 [H, W, 3], of `read`.
        top: classes at most.
    Returns:
        dict for JSON: "classes", a list of {"class", "confidence"}, the surest first; "image" and "map", the picture
        as the model sees it and Grad-CAM of the first class over it, as data URIs; "energy"; "unlike", bool, or None
        without a Limit.
    Raises:
        UserError: the model answers with NaN or infinity.
    """
    run = model.run
    logits = trained.logits(run, image[None], 1)
    trained.check_finite(run, logits)
    confidences = scores.probabilities(logits)[0]
    maps = explain.maps_of(run, image[None], logits.argmax(1), model.layer)
    heat = np.asarray(gradcam.resized(gradcam.normalized(maps), *image.shape[:2]))
    reached = float(energy(logits)[0])
    surest = prediction.surest(confidences, run.dataset.class_names, top)
    return {
        "classes": [{"class": name, "confidence": sure} for name, sure in surest],
        "image": data_uri(image),
        "map": data_uri(np.rint(255 * overlays.overlay(image, heat[0]))),
        "energy": reached,
        "unlike": None if model.limit is None else reached < model.limit.threshold,
    }
