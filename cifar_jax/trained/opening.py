"""A trained model out of a workdir: what evaluation, figures and analysis begin with."""

import dataclasses
import functools
import pathlib
from typing import Any

import jax
import ml_collections
import numpy as np

from cifar_jax import config as config_lib
from cifar_jax import data, models
from cifar_jax.errors import ConfigError, UserError
from cifar_jax.machine import compilation
from cifar_jax.models import inference
from cifar_jax.models.inference import Inference
from cifar_jax.runs import reader
from cifar_jax.trained import batches


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


def open_run(workdir, checkpoint=None, data_dir=None):
    """Reads a checkpoint and the data set of its run.

    Args:
        workdir: folder of the run.
        checkpoint: "best", "last" or a step; None for what the config's `selection` names.
        data_dir: where the data set is now; None for the place that the config names.
    Returns:
        Trained.
    Raises:
        UserError: no such run or checkpoint, a damaged one, or data that is not there or not the run's.
    """
    found = _read(workdir, checkpoint)
    workdir, config, about = found.workdir, found.config, found.about
    if data_dir is not None:
        config.dataset.data_dir = str(data_dir)
    where = config.dataset
    known = about["dataset_fingerprint"]
    dataset = data.load(where.name, where.data_dir, where.archive, print, known)
    if dataset.fingerprint != known:
        raise UserError(
            f"{workdir} was trained on other {dataset.name} data (fingerprint "
            f"{known[:12]} there, {dataset.fingerprint[:12]} here); give the "
            "folder of that data with --data_dir"
        )
    return found.with_data(dataset)


def open_model(workdir, checkpoint=None, data_dir=None):
    """As open_run, for images of one's own: the data set need not be there.

    What a model has to know of its data, the classes' names and the normalisation, stands in its
    checkpoint. In one of an older version it does not: the data set is then opened after all.

    Args:
        workdir, checkpoint, data_dir: of open_run.
    Returns:
        Trained, whose data set has no arrays.
    Raises:
        UserError: as open_run.
    """
    found = _read(workdir, checkpoint)
    if "dataset" not in found.about:
        return open_run(workdir, found.checkpoint, data_dir)

    def read(split):
        raise UserError(f"the images of {found.workdir} were not opened; open_run does that")

    about = found.about
    return found.with_data(data.from_facts(about["dataset"], about["dataset_fingerprint"], read))


@dataclasses.dataclass(frozen=True)
class _Checkpoint:
    """A checkpoint as it lies on disk."""

    workdir: pathlib.Path
    config: ml_collections.ConfigDict
    about: dict
    variables: Any
    checkpoint: str
    step: int

    def with_data(self, dataset):
        name, classes = self.config.model.name, len(dataset.class_names)
        expected = models.registry.shapes(name, classes)
        if _shapes(self.variables) != _shapes(expected):
            raise UserError(
                f"checkpoint {self.step} of {self.workdir} has other arrays than {name} with {classes} classes has in "
                "this version of cifar_jax; choose another --checkpoint"
            )
        model = inference.of_run(self.config, dataset)
        return Trained(
            self.workdir, self.config, dataset, model, self.variables, self.checkpoint, self.step
        )


def _shapes(tree):
    return {
        jax.tree_util.keystr(path): leaf.shape for path, leaf in jax.tree.leaves_with_path(tree)
    }


def _read(workdir, checkpoint):
    workdir = pathlib.Path(workdir).expanduser()
    chosen = "best" if checkpoint is None else checkpoint
    variables, about, step = reader.read_run(workdir, chosen)
    config = _config(workdir, about)
    if not isinstance(about.get("dataset_fingerprint"), str):
        raise UserError(f"{workdir} has a checkpoint that does not say what data it is of")
    if checkpoint is None and config.selection == "last":
        chosen = "last"
        variables, _, step = reader.read_run(workdir, chosen)
    return _Checkpoint(workdir, config, about, variables, str(chosen), step)


def _config(workdir, about):
    """The config of a checkpoint; fields it does not have yet are at their defaults."""
    try:
        return config_lib.of_record(about["config"])
    except (KeyError, TypeError) as error:
        raise UserError(f"{workdir} has a checkpoint without a config") from error
    except ConfigError as error:
        raise UserError(
            f"{workdir} holds a run of another version of cifar_jax: {error}"
        ) from error


def split(trained, name):
    """The images and labels of a split, and their numbers in the data set's own.

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
    parts = data.stratified_split(labels, held_out.validation_fraction, held_out.split_seed)
    indices = parts[name == "validation"]
    if not len(indices):
        raise UserError(f"{trained.workdir} was trained without a validation set")
    return images[indices], labels[indices], np.asarray(indices, np.int64)


def logits(trained, images, batch_size=None):
    """What the model says of images, as the run itself evaluates: with its test-time augmentation.

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


def eval_batch_size(trained):
    """Images of a step of the run's own evaluation."""
    return min(trained.config.eval_batch_size, max(trained.dataset.sizes.values()))


@functools.lru_cache(maxsize=8)
def logits_step(inference):
    """A compiled (variables, uint8 [B, H, W, C]) -> float32 [B, num_classes]."""

    @compilation.jit
    def step(variables, images):
        return inference.logits(variables, inference.normalize(images))

    return step
