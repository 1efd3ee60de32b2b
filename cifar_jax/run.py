"""A run before its first step: the data on the devices, the model, the programs."""

import dataclasses

import jax
import jax.numpy as jnp

from cifar_jax import data, models, optim, parallel, steps
from cifar_jax.data import augment
from cifar_jax.errors import ConfigError


@dataclasses.dataclass
class Run:
    """All that stays the same while a run trains."""

    config: object
    dataset: data.Dataset
    recipe: steps.Recipe
    programs: steps.Programs
    train: steps.Data
    validation: steps.Data | None
    mesh: jax.sharding.Mesh
    steps_per_epoch: int

    @property
    def total_steps(self):
        return self.config.total_epochs * self.steps_per_epoch


def build(config, dataset):
    """Puts the data on the devices and defines the programs; nothing is compiled yet.

    Args:
        config: checked ConfigDict.
        dataset: data.Dataset; only its training split is read.
    Returns:
        Run.
    Raises:
        ConfigError: a model for images of another shape; a batch larger than the training set, or not
            divisible over the devices.
    """
    images, labels = dataset.split("train")
    models.check_images(config.model.name, images.shape[1:])
    train_indices, validation_indices = data.stratified_split(
        labels, config.dataset.validation_fraction, config.dataset.split_seed
    )
    if config.dataset.validation_fraction and not len(validation_indices):
        raise ConfigError(
            f"dataset.validation_fraction={config.dataset.validation_fraction} holds out no image of "
            f"{len(labels):,}; take 0 for no validation set, or a larger fraction such as 0.1"
        )
    if config.batch_size > len(train_indices):
        raise ConfigError(
            f"batch_size={config.batch_size} is more than the {len(train_indices)} training images"
        )
    steps_per_epoch = len(train_indices) // config.batch_size
    mesh = parallel.data_mesh()
    replicated = parallel.replicated(mesh)

    def put(indices):
        return jax.device_put(steps.Data(images[indices], labels[indices]), replicated)

    recipe = steps.Recipe(
        model=models.create(
            config.model.name,
            num_classes=len(dataset.class_names),
            dtype=jnp.dtype(config.dtype),
            dropout=config.model.dropout,
            activation=config.model.activation,
        ),
        optimizer=optim.make_optimizer(
            config.optimizer.name, config.optimizer.momentum, config.optimizer.weight_decay
        ),
        schedule=optim.make_schedule(
            config.schedule.name,
            config.optimizer.learning_rate,
            config.total_epochs * steps_per_epoch,
            round(config.schedule.warmup_epochs * steps_per_epoch),
        ),
        augmentation=augment.Augmentation(
            **config.augment, cutout_fill=tuple(round(255 * mean) for mean in dataset.mean)
        ),
        mean=dataset.mean,
        std=dataset.std,
        dtype=jnp.dtype(config.dtype),
        batch_size=config.batch_size,
        eval_batch_size=min(config.eval_batch_size, max(dataset.sizes.values())),
        num_classes=len(dataset.class_names),
        batch_sharding=parallel.batch_sharding(mesh, config.batch_size),
    )
    form = config.steps_per_call
    if form == "auto":
        form = "loop" if jax.default_backend() == "cpu" else "scan"
    return Run(
        config=config,
        dataset=dataset,
        recipe=recipe,
        programs=steps.make_programs(recipe, form, replicated),
        train=put(train_indices),
        validation=put(validation_indices) if len(validation_indices) else None,
        mesh=mesh,
        steps_per_epoch=steps_per_epoch,
    )
