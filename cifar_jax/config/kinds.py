"""Losses and accuracies of training and of validation that differ in kind: what a reader of both curves has to know."""

from cifar_jax.config.loading import flatten
from cifar_jax.config.schema import fields


def remark(config):
    """Say how the curves of training and of validation differ in kind; "" where they do not.

    Augmented images and dropout, which most trainings have, are not said.

    Args:
        config: ConfigDict or dict; one of an earlier version may lack fields.
    """
    given = {name: field.default for name, field in fields().items()} | flatten(config)
    trained = [
        *([f"the loss {given['loss.name']}"] if given["loss.name"] != "cross_entropy" else []),
        *(
            [f"label smoothing {given['loss.label_smoothing']:g}"]
            if given["loss.label_smoothing"]
            else []
        ),
        *(["class weights"] if given["loss.class_weights"] else []),
        *(
            ["mixed images"]
            if given["augment.mixup_alpha"] or given["augment.cutmix_alpha"]
            else []
        ),
        *(["images that grow"] if given["augment.image_sizes"] else []),
    ]
    validated = [
        *(["averaged weights"] if given["ema.decay"] else []),
        *(
            ["several views of an image"]
            if given["evaluation.flip"] or given["evaluation.translate"]
            else []
        ),
    ]
    if not trained and not validated:
        return ""
    parts = [f"training has {_listed(trained)}"] if trained else []
    parts += [
        f"validation has {_listed([*validated, *(['plain cross entropy'] if trained else [])])}"
    ]
    return f"the curves differ in kind: {'; '.join(parts)}"


def _listed(words):
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
