"""All scores of a run's model, for any images."""

import functools

import jax
import numpy as np

from cifar_jax import trained
from cifar_jax.analysis.ood import features
from cifar_jax.analysis.ood import scores as ood
from cifar_jax.console import progress
from cifar_jax.errors import UserError
from cifar_jax.trained import batches

LEAST = 256  # images a step, where the config's eval_batch_size allows


class Scorer:
    """Images -> every score of `scores.all_scores`; the training images are looked at when it is first called."""

    def __init__(self, run, layers, train_count=0, seed=0):
        """Choose what is scored.

        Args:
            run: trained.Trained, with its data set.
            layers: for the mean activation.
            train_count: training images for Mahalanobis and nearest neighbours; 0 for all.
            seed: int, at least 0: of all that is drawn.
        Raises:
            UserError: a layer that there is not.
        """
        self.run, self.layers, self.train_count, self.seed = run, tuple(layers), train_count, seed
        step = features.make_step(run.inference.model, run.inference.normalize, self.layers)
        one = jax.ShapeDtypeStruct((1, *run.image_shape), np.uint8)
        jax.eval_shape(step, run.variables, one)  # A wrong layer's name stops here.
        self._step = functools.partial(step, jax.device_put(run.variables))

    @functools.cached_property
    def _fitted(self):
        """(scores.ClassGaussians, float [M, D] features) of the training images."""
        images, labels, _ = trained.split(self.run, "train")
        if 0 < self.train_count < len(labels):
            order = np.random.default_rng(self.seed).permutation(len(labels))
            images, labels = images[order[: self.train_count]], labels[order[: self.train_count]]
        known = self._ask(images, "training images").features
        return ood.fit_class_gaussians(known, labels), known

    @property
    def known_count(self):
        """How many training images the scores know."""
        return len(self._fitted[1])

    def __call__(self, images, what="images"):
        """Return name -> float [N] of uint8 [N, H, W, C]; progress is shown of `what`, in words.

        Raises:
            UserError: the model's outputs are not finite.
        """
        gaussians, known = self._fitted
        return ood.all_scores(self._ask(images, what), gaussians, known)

    def _ask(self, images, what):
        """Return features.Outputs of uint8 [N, H, W, C]."""
        size = min(trained.eval_batch_size(self.run), max(len(images), LEAST))
        with progress.counting(f"scoring {what}", len(images)) as advance:

            def step(images):
                outputs = jax.device_get(self._step(images))
                advance(len(images))
                return outputs

            outputs = batches.apply_batched(step, size, images)
        if not (np.isfinite(outputs.logits).all() and np.isfinite(outputs.features).all()):
            raise UserError(f"the model of {self.run.workdir} gives values that are not finite")
        return outputs
