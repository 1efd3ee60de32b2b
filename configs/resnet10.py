"""Report 003 (Cao), Tables 19 to 22: resnet10, 4,903,242 parameters.

Variants: constant (the default), plateau.
"""

from cifar_jax.config import default, variant_of

VARIANTS = {"constant": (90.03, "19 and 20"), "plateau": (92.09, "21 and 22")}


def get_config(variant="constant"):
    accuracy, tables = variant_of(VARIANTS, variant)
    config = default()
    config.model.name = "resnet10"
    config.total_epochs = 135
    config.batch_size = 128
    config.augment.crop_padding = 4
    config.augment.flip = True
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 0.0001
    if variant == "plateau":
        config.schedule.name = "plateau"
        config.schedule.factor = 0.5
        config.schedule.patience = 5
    config.reported.value = accuracy
    config.reported.metric = "test accuracy, %"
    config.reported.source = f"report 003, Tables {tables}"
    config.reported.remarks = (
        "Crop and flip: the report names no augmentation, and without it such nets stay well below 90 %. A tenth of "
        "the training images is held out; it selects the epoch and drives the plateau."
    )
    return config
