"""A trained model in Python: called, it gives probabilities; it explains a picture and is evaluated on images.

model = trained.load("pretrained:speedrun")
model("cat.png")                       probabilities, float64 [num_classes]
model.explain("cat.png")               Grad-CAM over the picture, which a notebook shows
model.evaluate(images, labels)         {"accuracy": ..., "calibration": ..., ...}, with figures: confusion(), ...
model.curves()                         loss and accuracy over the epochs of its training
"""

import dataclasses
import io
import os
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import jax
import numpy as np

from cifar_jax import trained
from cifar_jax.analysis import explain, gradcam, overlays, result, scores
from cifar_jax.analysis.charts import evaluation as charts
from cifar_jax.analysis.charts import training
from cifar_jax.analysis.drawn import Drawn
from cifar_jax.config import kinds
from cifar_jax.console.tables import percent, percent_range
from cifar_jax.data import given
from cifar_jax.data.given import Images, OneImage
from cifar_jax.errors import UserError
from cifar_jax.runs import writers

Labels: TypeAlias = int | str | np.ndarray | Sequence[int | str]
MOST = 64  # images a step
SHOWN = 256  # pixels of a side in a notebook, at least


@dataclasses.dataclass(frozen=True)
class Explanation:
    """The places of a picture that speak for a class."""

    image: np.ndarray  # uint8 [S, S, 3], as the model sees it
    map: np.ndarray  # float [S, S], 0 to 1, of Grad-CAM
    overlay: np.ndarray  # uint8 [S, S, 3], the map over the image
    class_name: str  # that is explained
    probability: float  # of that class

    def __repr__(self):
        height, width = self.map.shape
        return f"<{self.class_name}, {100 * self.probability:.1f} %; Grad-CAM of {height} x {width} pixels>"

    def _repr_png_(self):
        from PIL import Image

        both = Image.fromarray(np.concatenate([self.image, self.overlay], axis=1))
        scale = -(-SHOWN // len(self.image))
        file = io.BytesIO()
        size = (both.width * scale, both.height * scale)
        both.resize(size, Image.Resampling.NEAREST).save(file, "PNG")
        return file.getvalue()


class Evaluation(dict[str, Any]):
    """The keys of evaluation.json from `images` to `calibration`, and their figures."""

    def __repr__(self):
        judged = [each for each in self["per_class"] if each["images"]]
        worst = min(judged, key=lambda each: each["accuracy"])
        interval = percent_range(self["accuracy_interval"])
        return (
            f"<accuracy {percent(self['accuracy'])} of {self['images']:,} images (95 % interval {interval} %); worst "
            f"class {worst['name']}, {percent(worst['accuracy'], 1)}; calibration error "
            f"{percent(self['calibration']['error'])}\n keys: {', '.join(self)}>"
        )

    def confusion(self) -> Drawn:
        """Draw the confusion matrix."""
        names = [each["name"] for each in self["per_class"]]
        return Drawn(charts.confusion(self["confusion"], names, self._title))

    def classes(self) -> Drawn:
        """Draw the accuracy of each class."""
        return Drawn(charts.classes(self["per_class"], self["accuracy"], self._title))

    def reliability(self) -> Drawn:
        """Draw accuracy against confidence."""
        return Drawn(charts.reliability(self["calibration"], self._title))

    @property
    def _title(self):
        return f"{self['images']:,} images: {percent(self['accuracy'])}"


class Model:
    """A trained model. Images are of any kind that `data.given.as_images` takes."""

    def __init__(self, run: trained.Trained) -> None:
        """Take a trained.Trained."""
        self.run = dataclasses.replace(run, variables=jax.device_put(run.variables))
        self.class_names = tuple(map(str, run.dataset.class_names))
        self.image_size = run.image_shape[0]

    def __repr__(self):
        config, names = self.run.config, self.class_names
        few = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
        return (
            f"<{config.model.name} of {self.run.workdir}, step {self.run.step:,}: {len(names)} classes ({few}), images "
            f"of {self.image_size} x {self.image_size}>"
        )

    def __call__(self, images: Images) -> np.ndarray:
        """Return the probabilities of the classes, as the run's own evaluation has them.

        Returns:
            float64 [num_classes] of one image, [B, num_classes] of several.
        Raises:
            UserError: of `as_images`, or the model answers with NaN or infinity.
        """
        pixels, single = given.as_images(images, self.image_size)
        probabilities = scores.probabilities(self._logits(pixels))
        return probabilities[0] if single else probabilities

    def explain(
        self, image: OneImage, class_name: str | int | None = None, layer: str | None = None
    ) -> Explanation:
        """Explain one image by Grad-CAM.

        Args:
            image: one image.
            class_name: whose logit is explained, by its name or number; None for the likeliest.
            layer: of the maps; None for the last that has several places.
        Returns:
            Explanation.
        Raises:
            UserError: several images, or no such class or layer.
        """
        pixels, single = given.as_images(image, self.image_size)
        if not single:
            raise UserError(f"one image is explained at a time, not {len(pixels)}")
        probabilities = self(pixels)[0]
        number = int(probabilities.argmax())
        if class_name is not None:
            number = explain.class_number(self.run, str(class_name))
        layer, _ = gradcam.choose_layer(
            self.run.inference.model, self.run.variables, pixels.shape, layer
        )
        maps = explain.maps_of(self.run, pixels, np.array([number]), layer)
        heat = np.asarray(gradcam.resized(gradcam.normalized(maps), *pixels.shape[1:3]))[0]
        over = np.rint(255 * overlays.overlay(pixels[0], heat)).astype(np.uint8)
        named = self.class_names[number]
        return Explanation(pixels[0], heat, over, named, float(probabilities[number]))

    def evaluate(self, images: Images, labels: Labels) -> Evaluation:
        """Find accuracy, its interval, loss, confusions, calibration and more.

        Args:
            images: several images.
            labels: B names or numbers of classes.
        Returns:
            Evaluation.
        Raises:
            UserError: not as many labels as images, or no such class.
        """
        pixels, single = given.as_images(images, self.image_size)
        listed = [labels] if single or isinstance(labels, (int, str)) else list(labels)
        if len(listed) != len(pixels):
            raise UserError(f"{len(pixels)} images and {len(listed)} labels do not go together")
        numbers = np.array([explain.class_number(self.run, str(label)) for label in listed])
        return Evaluation(result.describe(numbers, self._logits(pixels), self.class_names))

    def curves(self, axis: Literal["epoch", "step"] = "epoch") -> Drawn:
        """Draw loss, accuracy and learning rate of the model's training.

        Args:
            axis: "epoch" or "step".
        Raises:
            UserError: of a model in the box, or of a run whose metrics.jsonl is gone.
        """
        run = self.run
        rows = [] if run.card else writers.read_rows(run.workdir / "metrics.jsonl")
        selected_on = "test" if run.config.selection == "test" else "validation"
        chosen = run.checkpoint, run.step
        chart = training.of_file(rows, axis, chosen, selected_on, kinds.remark(run.config))
        if chart is None:
            raise UserError(f"{run.workdir} has no metrics.jsonl with curves")
        return Drawn(chart)

    def _logits(self, pixels):
        logits = trained.logits(self.run, pixels, min(MOST, len(pixels)))
        trained.check_finite(self.run, logits)
        return logits


def load(
    workdir: str | os.PathLike[str] | None = None, checkpoint: str | int | None = None
) -> Model:
    """Open a trained model.

    Args:
        workdir: folder of a run, or "pretrained:NAME"; None for the best model in the box.
        checkpoint: "best", "last" or a step; None for what the run's config names.
    Returns:
        Model.
    Raises:
        UserError: as trained.open_model.
    """
    return Model(trained.open_model(trained.named_or_best(workdir), checkpoint))
