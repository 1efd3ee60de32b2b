"""Fields of a config that contradict each other."""

import itertools

from cifar_jax.config import options, registries
from cifar_jax.config.schema import POLICIES, SCHEMA
from cifar_jax.errors import ConfigError

# The only optimizers to which optimizer.momentum belongs; the others have moments of their own.
WITH_MOMENTUM = registries.names("train/optimizers.py", "OPTIMIZERS", having="takes_momentum")
# The policies of ours to which augment.operations and augment.magnitude belong.
WITH_MAGNITUDE = registries.names("train/policies.py", "POLICIES", having="takes_magnitude")


# Schedules whose rate at a step does not depend on how many follow, so that a run may be given more epochs.
OPEN_ENDED = ("constant", "step", "multistep", "plateau")


def check_consistency(config):
    """Raise ConfigError for the first contradiction in a config whose values are each in order."""
    for contradictions in (_validation, _companions, _schedule, _parallel):
        for contradiction in contradictions(config):
            raise ConfigError(contradiction)


def _validation(config):
    """Refuse what needs a validation set where there is none, and one that nothing uses."""
    if config.selection == "test":
        if config.dataset.validation_fraction > 0:
            yield (
                "selection=test watches the test set, and nothing would look at a validation set: "
                "set dataset.validation_fraction=0"
            )
        return
    if config.dataset.validation_fraction > 0:
        return
    needs = "set dataset.validation_fraction above 0"
    if config.schedule.name == "plateau":
        yield f"schedule.name=plateau watches the validation set: {needs}"
    if config.selection == "validation":
        yield f"selection=validation needs a validation set: {needs}, or selection=last"
    for name in ("patience", "max_gap"):
        if config.early_stopping[name]:
            yield f"early_stopping.{name} watches the validation set: {needs}, or take 0"


def _companions(config):
    """Refuse values that mean nothing beside others."""
    if (config.dataset.name == "folder") != bool(config.dataset.path):
        yield "dataset.name=folder and dataset.path=PATH, the folder of class folders, go together"
    if config.model.freeze and not config.model.weights:
        yield f"model.freeze={config.model.freeze} keeps layers as model.weights has them: give that, too"
    stopping, optimizer, policy = config.early_stopping, config.optimizer, config.augment.policy
    if config.augment.flip_mode != "random" and not config.augment.flip:
        yield f"augment.flip_mode={config.augment.flip_mode} goes with augment.flip=true"
    for name in ("operations", "magnitude"):
        given = config.augment[name] != SCHEMA["augment"][name].default
        if given and policy in POLICIES and policy not in WITH_MAGNITUDE:
            yield f"augment.{name} goes with augment.policy={' or '.join(WITH_MAGNITUDE)}"
    if stopping.min_delta and not stopping.patience:
        yield "early_stopping.min_delta goes with an early_stopping.patience above 0"
    options.parse(optimizer.options)
    options.layer_factors(optimizer.layer_factors)
    if optimizer.weight_decay_for != "all" and not optimizer.weight_decay:
        yield f"optimizer.weight_decay_for={optimizer.weight_decay_for} goes with an optimizer.weight_decay above 0"
    if optimizer.momentum and optimizer.name not in WITH_MOMENTUM:
        yield f"optimizer.momentum belongs to {' and '.join(WITH_MOMENTUM)}; {optimizer.name} has its own"
    if optimizer.nesterov and (optimizer.name != "sgd" or not optimizer.momentum):
        yield "optimizer.nesterov goes with optimizer.name=sgd and a momentum above 0"
    if optimizer.name == "adamw" and optimizer.weight_decay_mode == "l2":
        yield "optimizer.weight_decay_mode=l2 makes adamw into adam: set optimizer.name=adam"


def _schedule(config):
    schedule = config.schedule
    if schedule.warmup_epochs > config.total_epochs:
        yield (
            f"schedule.warmup_epochs={schedule.warmup_epochs} is more than "
            f"total_epochs={config.total_epochs}: the base learning rate would not be reached"
        )
    if schedule.warmup_epochs and schedule.name in ("plateau", "one_cycle"):
        yield f"schedule.warmup_epochs does not go with schedule.name={schedule.name}"
    if any(a >= b for a, b in itertools.pairwise(schedule.milestones)):
        yield f"schedule.milestones={schedule.milestones} must be in ascending order"
    if (schedule.name == "multistep") != bool(schedule.milestones):
        yield "schedule.name=multistep and schedule.milestones, such as (60, 80), go with each other"


def _parallel(config):
    """Refuse what looks at the whole batch in a step that is written for a part of it."""
    parallel = config.parallel
    if parallel.backend == "pmap":
        if config.augment.mixup_alpha or config.augment.cutmix_alpha:
            yield (
                "augment.mixup_alpha and augment.cutmix_alpha mix images of the whole batch: set "
                "parallel.backend=jit"
            )
        if parallel.dataset == "sharded":
            yield "parallel.dataset=sharded goes with parallel.backend=jit"
        if config.dataset.residency == "stream":
            yield "dataset.residency=stream goes with parallel.backend=jit"
    if config.loss.class_weights:
        for name, value, plain in (
            ("parallel.backend", parallel.backend, "jit"),
            ("parallel.batch_norm", parallel.batch_norm, "global"),
            ("accumulate_steps", config.accumulate_steps, 1),
        ):
            if value != plain:
                yield (
                    "loss.class_weights makes the loss a mean by the weights of the whole batch: set "
                    f"{name}={plain}"
                )
