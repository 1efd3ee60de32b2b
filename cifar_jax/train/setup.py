"""A run before its first step: the data on the devices, the model, the programs."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from cifar_jax import config as config_lib
from cifar_jax import data, models
from cifar_jax.errors import ConfigError
from cifar_jax.machine import mesh as mesh_lib
from cifar_jax.machine import processes, runtime
from cifar_jax.models import inference, weight_files
from cifar_jax.train import (
    augment,
    fine_tuning,
    hyper,
    losses,
    mixing,
    monitors,
    optimizers,
    programs,
    resizing,
    schedules,
    state,
    steps,
    streaming,
)
from cifar_jax.train import spread as spread_lib


@dataclasses.dataclass
class Setup:
    """All that stays the same while a run trains."""

    config: object
    dataset: data.Dataset
    recipe: steps.Recipe
    programs: programs.Programs
    put: Callable  # (images, labels) of a split -> steps.Data, where `train` is too
    train: steps.Data
    validation: steps.Data | None  # the test set where selection is "test"
    mesh: jax.sharding.Mesh
    steps_per_epoch: int
    weights_sha256: dict = dataclasses.field(default_factory=dict)  # of workdir.weights_of

    @property
    def total_steps(self):
        return self.config.total_epochs * self.steps_per_epoch


def build(config, dataset, make_programs=None, dropout_from_hyper=False):
    """Put the data on the devices and define the programs; nothing is compiled yet.

    Args:
        config: checked ConfigDict.
        dataset: data.Dataset; only its training split is read, unless selection is "test".
        make_programs: for a sweep, (Recipe, mesh) -> Programs of many runs in place of one's; the
            mesh then shares out the runs, not the images of a batch.
        dropout_from_hyper: of steps.Recipe.
    Returns:
        Setup.
    Raises:
        ConfigError: a model for images of another shape; a batch larger than the training set, or not
            divisible over the devices; not as many class weights as classes.
    """
    images, labels = dataset.split("train")
    models.check_images(config.model.name, images.shape[1:])
    for side in config.augment.image_sizes:
        if not models.takes(config.model.name, (side, side, images.shape[-1])):
            raise ConfigError(
                f"augment.image_sizes={config.augment.image_sizes}: model {config.model.name!r} does not take images "
                f"of {side} x {side}"
            )
    train_indices, validation_indices = dataset.divide(
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
    mesh = mesh_lib.data_mesh()
    sharing = mesh.size
    if make_programs:
        if config.parallel.to_dict() != config_lib.default().parallel.to_dict():
            raise ConfigError(
                "a sweep shares out its runs over the devices, not their batches: leave config.parallel at its defaults"
            )
        if config.dataset.residency == "stream":
            raise ConfigError(
                "the runs of a sweep share images on the devices: leave out dataset.residency=stream"
            )
        sharing = 1
    spread_lib.check_batch(config, sharing)
    if config.parallel.backend == "pmap" and processes.several():
        raise ConfigError("parallel.backend=pmap is for one process; leave it out for several")
    size = sum(dataset.sizes.values()) * images[0].nbytes
    # Hosts may have different memory free.
    streamed = make_programs is None and bool(processes.of_first(streams(config, size, mesh)))
    put = streaming.host_data if streamed else functools.partial(on_devices, config, mesh)

    validation = None
    if config.selection == "test":
        validation = put(*dataset.split("test"))
    elif len(validation_indices):
        validation = put(images, labels, validation_indices)

    recipe = make_recipe(config, dataset, steps_per_epoch)
    recipe = dataclasses.replace(recipe, dropout_from_hyper=dropout_from_hyper)
    if make_programs is None:
        spread = spread_lib.Spread(mesh, config.parallel.backend, config.parallel.batch_norm)
        whole = -(-recipe.eval_batch_size // mesh.size) * mesh.size
        recipe = dataclasses.replace(recipe, spread=spread, eval_batch_size=whole)
    if make_programs:
        compiled = make_programs(recipe, mesh)
    elif streamed:
        total = config.total_epochs * steps_per_epoch
        compiled = streaming.make_programs(recipe, mesh, total, config.dataset.threads)
    else:
        compiled = steps.make_programs(recipe, mesh_lib.replicated(mesh))
    return Setup(
        config=config,
        dataset=dataset,
        recipe=recipe,
        programs=compiled,
        put=put,
        train=put(images, labels, train_indices),
        validation=validation,
        mesh=mesh,
        steps_per_epoch=steps_per_epoch,
    )


def streams(config, size, mesh):
    """Return whether images of `size` bytes are to stay on the host, as config.dataset.residency has it."""
    if config.dataset.residency != "auto":
        return config.dataset.residency == "stream"
    if config.parallel.backend == "pmap":
        return False
    here = len(mesh.local_devices)
    copies = here if config.parallel.dataset == "replicated" else here / mesh.size
    return size * copies > runtime.available_bytes() / 2


def on_devices(config, mesh, images, labels, rows=None):
    """Put a split on the devices, as config.parallel.dataset has it: steps.Data.

    Args:
        images, labels: uint8 [N, H, W, C] and int32 [N].
        rows: of the split; None for all.
    """
    everywhere = mesh_lib.replicated(mesh)
    images, labels = (np.asarray(x if rows is None else x[rows]) for x in (images, labels))
    host = steps.make_data(images, labels)
    if config.parallel.dataset == "replicated":
        return mesh_lib.put(host, everywhere)
    rows = mesh_lib.put(mesh_lib.padded(host.rows, mesh), mesh_lib.over_devices(mesh))
    return host.replace(rows=rows, labels=mesh_lib.put(labels, everywhere))


def make_recipe(config, dataset, steps_per_epoch):
    """Make the Recipe of a config, for one device: the structure. The numbers are those of hyper.from_config.

    Raises:
        ConfigError: as of `build`.
    """
    classes, weights = len(dataset.class_names), config.loss.class_weights
    if weights and len(weights) != classes:
        raise ConfigError(
            f"loss.class_weights has {len(weights)} values; {dataset.name} has {classes} classes"
        )
    schedule = config.schedule
    finished = inference.of_run(config, dataset)
    alphas = {field.name: config.augment[field.name] for field in dataclasses.fields(mixing.Mixing)}
    others = *alphas, "image_sizes"
    return steps.Recipe(
        **vars(finished),
        optimizer=optimizers.of_config(config),
        project=optimizers.projection(config.optimizer.name),
        schedule=schedules.make_schedule(
            schedule.name,
            schedules.Plan(
                total_steps=config.total_epochs * steps_per_epoch,
                steps_per_epoch=steps_per_epoch,
                warmup_steps=round(schedule.warmup_epochs * steps_per_epoch),
                factor=schedule.factor,
                milestones=schedule.milestones,
                drop_factor=schedule.drop_factor,
                drop_epochs=schedule.drop_epochs,
            ),
        ),
        loss=losses.make_loss(
            config.loss.name,
            label_smoothing=config.loss.label_smoothing > 0,
            class_weights=weights,
            gamma=config.loss.gamma,
        ),
        augmentation=augment.Augmentation(
            **{name: value for name, value in config.augment.items() if name not in others},
            cutout_fill=tuple(round(255 * each) for each in finished.mean),
        ),
        mix=mixing.Mixing(**alphas),
        batch_size=config.batch_size,
        eval_batch_size=min(config.eval_batch_size, max(dataset.sizes.values())),
        ema_decay=config.ema.decay,
        accumulate_steps=config.accumulate_steps,
        fine_tuning=fine_tuning.of_config(config, classes),
        resizing=resizing.Resizing(config.augment.image_sizes, steps_per_epoch),
    )


def remark_on_data(config, dataset):
    """Say what is odd about the data before training; "" of most."""
    constant = [str(i) for i, each in enumerate(dataset.std) if not each]
    if not constant or config.dataset.normalization != "statistics":
        return ""
    return (
        f"{dataset.name}: channel {', '.join(constant)} has one value in all training images; it is centred "
        "and not scaled"
    )


def initial_state(setup, with_weights=True):
    """Make the TrainState of a run before its first step, on its mesh.

    Args:
        setup: Setup.
        with_weights: whether to read config.model.weights, if any; else the model's own stand for them.
    Raises:
        UserError: config.model.weights can't be read, or is of another model.
    """
    start = state.create_state(
        setup.recipe.model,
        setup.recipe.optimizer,
        hyper.from_config(setup.config),
        setup.config.seed,
        setup.train.shape,
        **state_options(setup.config),
    )
    if with_weights:
        start = with_variables(start, initial_variables(setup))
    return mesh_lib.put(start, mesh_lib.replicated(setup.mesh))


def state_options(config):
    """Return what a config decides of state.initial_state beside the numbers: keyword arguments."""
    return {
        "plateau_mode": monitors.mode_of(config.schedule.monitor),
        "stopping_mode": monitors.mode_of(config.early_stopping.monitor),
        "ema": config.ema.decay > 0,
    }


def initial_variables(setup, say=print):
    """Read what a run does not draw: the weights of config.model.weights, or what the model takes from the data.

    Args:
        say: is told in one line of layers that begin anew.
    Returns:
        dict, for `with_variables`; the same for all seeds.
    Raises:
        UserError: the file can't be read, or is of another model.
    """
    model, classes = setup.config.model, setup.recipe.num_classes
    if model.weights:
        given = weight_files.load(model.weights, model.name, classes, new_head=True)
        known = {"/".join(path[:-1]) for path in flatten_dict(given["params"])}
        anew = [layer for layer in models.last_layers(model.name) if layer not in known]
        if anew and processes.is_first():
            say(
                f"{model.weights} has another number of classes: {', '.join(anew)} begins anew, with {classes}"
            )
        return given
    few = setup.train.images(slice(models.registry.FROM_DATA))
    return jax.jit(functools.partial(variables_from_data, setup.recipe, model.name))(few)


def variables_from_data(recipe, model_name, images):
    """Compute what a model takes from the training images, uint8 [N, H, W, C], for `with_variables`; {} for most."""
    from_data = models.lookup(model_name).from_data
    if from_data is None:
        return {}
    few = images[: models.registry.FROM_DATA]
    return {"batch_stats": from_data(inference.normalize(few, recipe.mean, recipe.std))}


def with_variables(start, given):
    """Put the given `params` and `batch_stats` into a TrainState, array by array; what is not given stays."""

    def merged(own, given):
        return unflatten_dict(flatten_dict(own) | flatten_dict(given))

    return start.replace(**{name: merged(getattr(start, name), given[name]) for name in given})
