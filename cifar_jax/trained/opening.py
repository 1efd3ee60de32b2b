"""A trained model out of a workdir: what evaluation, figures and analysis begin with."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import ml_collections
import numpy as np

from cifar_jax import config as config_lib
from cifar_jax import data, models
from cifar_jax.errors import ConfigError, UserError
from cifar_jax.machine import compilation
from cifar_jax.models import box, inference
from cifar_jax.models.inference import Inference
from cifar_jax.runs import reader
from cifar_jax.runs import workdir as workdir_lib
from cifar_jax.trained import batches
from cifar_jax.trained.likeness import Limit

Folder: TypeAlias = str | os.PathLike[str]


@dataclasses.dataclass(frozen=True)
class Trained:
    """A checkpoint of a run, with the data that it was trained on."""

    workdir: pathlib.Path
    config: ml_collections.ConfigDict
    dataset: data.Dataset
    inference: Inference  # the model, and how images become its input
    variables: Any  # of the model: the moving averages where the run had them
    checkpoint: str  # what was asked for: "best", "last" or a step
    step: int
    card: dict[str, Any] | None = None  # of a model in the box

    def __repr__(self):
        # The arrays' own would be fifty thousand characters.
        facts = (
            f"{self.config.model.name}, {self.checkpoint}, step {self.step:,}, {self.dataset.name}"
        )
        return f"<Trained {self.workdir}: {facts}>"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the model's images."""
        size = self.config.dataset.image_size
        return size, size, 3

    @property
    def limit(self) -> Limit | None:
        """The likeness.Limit of a model in the box, else None."""
        return Limit(**self.card["limit"]) if self.card else None


def named_or_best(workdir: Folder | None) -> Folder:
    """Return the folder of a run as given, or "pretrained:NAME" of the best model in the box where None is.

    Raises:
        UserError: None, and the box is empty.
    """
    if workdir is not None:
        return workdir
    if not (names := box.names()):
        raise UserError("no model comes with this package: give a run with --workdir FOLDER")
    return f"{box.PREFIX}{names[0]}"


def open_run(
    workdir: Folder, checkpoint: str | int | None = None, data_dir: Folder | None = None
) -> Trained:
    """Read a checkpoint and the data set of its run.

    Args:
        workdir: folder of the run, or "pretrained:NAME" for a model in the box.
        checkpoint: "best", "last" or a step; None for what the config's `selection` names.
        data_dir: where the data set is now, or the folder of class folders; None for the place that the config names.
    Returns:
        Trained.
    Raises:
        UserError: no such run or checkpoint, a damaged one, or data that is not there or not the run's.
    """
    config, about, with_data = _read(workdir, checkpoint)
    workdir_lib.require_plugins(workdir, about, ["dataset.name"])
    where, fingerprint = config.dataset, about["dataset_fingerprint"]
    if data_dir is not None:
        own = where.name == "folder" and data.has_classes(data_dir)
        where["path" if own else "data_dir"] = str(data_dir)
    dataset = data.of_config(where, print, fingerprint)
    if dataset.fingerprint != fingerprint:
        raise UserError(
            f"{workdir} was trained on other {dataset.name} data (fingerprint "
            f"{fingerprint[:12]} there, {dataset.fingerprint[:12]} here); give the "
            "folder of that data with --data_dir"
        )
    return with_data(dataset)


def open_model(workdir: Folder, checkpoint: str | int | None = None) -> Trained:
    """Read a checkpoint as open_run does, for images of one's own: the data set need not be there.

    What a model has to know of its data, the classes' names and the normalisation, stands in its checkpoint.

    Args:
        workdir: as open_run.
        checkpoint: as open_run.
    Returns:
        Trained, whose data set has no arrays.
    Raises:
        UserError: as open_run.
    """
    _, about, with_data = _read(workdir, checkpoint)

    def read(split):
        raise UserError(f"the images of {workdir} were not opened; open_run does that")

    return with_data(data.from_facts(about["dataset"], about["dataset_fingerprint"], read))


def _shapes(tree):
    return {
        jax.tree_util.keystr(path): leaf.shape for path, leaf in jax.tree.leaves_with_path(tree)
    }


def _read(workdir, checkpoint):
    """Read a checkpoint as it lies on disk: (config, `about`, data.Dataset -> Trained)."""
    if box.is_named(workdir):
        return _read_pretrained(workdir, checkpoint)
    workdir = pathlib.Path(workdir).expanduser()
    chosen = "best" if checkpoint is None else checkpoint
    variables, about, step = reader.read_run(workdir, chosen)
    try:
        workdir_lib.require_plugins(workdir, about, ["model.name"])
        noted = about.get("plugins")
        config = config_lib.of_record(about["config"], noted if isinstance(noted, dict) else ())
    except ConfigError as error:
        raise UserError(
            f"{workdir} holds a run of another version of cifar_jax: {error}"
        ) from error
    if checkpoint is None and config.selection == "last":
        chosen = "last"
        variables, _, step = reader.read_run(workdir, chosen)

    def with_data(dataset):
        name, classes = config.model.name, len(dataset.class_names)
        if _shapes(variables) != _shapes(models.registry.shapes(name, classes)):
            raise UserError(
                f"checkpoint {step} of {workdir} has other arrays than {name} with {classes} classes has in this "
                "version of cifar_jax; choose another --checkpoint"
            )
        model = inference.of_run(config, dataset)
        return Trained(workdir, config, dataset, model, variables, str(chosen), step)

    return config, about, with_data


def _read_pretrained(name, checkpoint):
    """Do `_read` of a model in the box; what is found out about it goes to a folder pretrained_NAME here."""
    if checkpoint is not None:
        raise UserError(f"{name} has one set of weights: leave out --checkpoint")
    model = models.pretrained(str(name))
    card, config = model.card, config_lib.of_record(model.card["config"])
    workdir = pathlib.Path(f"pretrained_{model.name}")

    def with_data(dataset):
        given = model.inference, model.variables, card["checkpoint"], card["step"], card
        return Trained(workdir, config, dataset, *given)

    return config, card, with_data


def split(trained: Trained, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the images and labels of a split, and their numbers in the data set's own.

    Args:
        trained: Trained.
        name: "train", "validation" or "test"; the first two are as the run divided the training images.
    Returns:
        (uint8 [N, H, W, C], int32 [N], int64 [N]).
    Raises:
        UserError: another name, or a run without a validation set.
    """
    if name == "test":
        images, labels = trained.dataset.split("test")
        return images, labels, np.arange(len(labels))
    if name not in ("train", "validation"):
        raise UserError(f"there is no split {name!r}; there are train, validation and test")
    images, labels = trained.dataset.split("train")
    held_out = trained.config.dataset
    parts = trained.dataset.divide(labels, held_out.validation_fraction, held_out.split_seed)
    indices = parts[name == "validation"]
    if not len(indices):
        raise UserError(f"{trained.workdir} was trained without a validation set")
    return images[indices], labels[indices], np.asarray(indices, np.int64)


def logits(trained: Trained, images: np.ndarray, batch_size: int | None = None) -> np.ndarray:
    """Return the logits of images as the run itself evaluates them: with its test-time augmentation.

    Args:
        trained: Trained.
        images: uint8 [N, H, W, C].
        batch_size: images a step; None for the config's eval_batch_size. The last batch is padded.
    Returns:
        float32 [N, num_classes], NumPy.
    """
    if not len(images):
        return np.zeros((0, trained.inference.num_classes), np.float32)
    batch_size = min(batch_size or eval_batch_size(trained), len(images))
    step = functools.partial(logits_step(trained.inference), jax.device_put(trained.variables))
    return batches.apply_batched(step, batch_size, images)


def check_finite(trained: Trained, answers: np.ndarray) -> None:
    """Raise UserError where a model answers with NaN or infinity."""
    if not np.isfinite(answers).all():
        raise UserError(
            f"checkpoint {trained.step} of {trained.workdir} answers with NaN or infinity; choose an earlier "
            "--checkpoint"
        )


def eval_batch_size(trained: Trained) -> int:
    """Return how many images a step of the run's own evaluation takes."""
    return min(trained.config.eval_batch_size, max(trained.dataset.sizes.values()))


@functools.lru_cache(maxsize=8)
def logits_step(inference: Inference) -> Callable[[Any, jax.typing.ArrayLike], jax.Array]:
    """Return a compiled (variables, uint8 [B, H, W, C]) -> float32 [B, num_classes]."""

    @compilation.jit
    def step(variables, images):
        return inference.logits(variables, inference.normalize(images))

    return step
