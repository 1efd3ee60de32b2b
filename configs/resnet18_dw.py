"""Report 003 (Cao), Tables 23 to 25: a depthwise separable ResNet, 722,186 parameters, 90.68 %."""

from cifar_jax.config import default


def get_config():
    config = default()
    config.model.name = "resnet18_dw"
    config.total_epochs = 135
    config.batch_size = 128
    config.augment.crop_padding = 4
    config.augment.flip = True
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 0.0001
    config.schedule.name = "plateau"
    config.schedule.factor = 0.5
    config.schedule.patience = 5
    config.log_every_steps = 50
    config.reported.value = 90.68
    config.reported.metric = "test accuracy, %"
    config.reported.source = "report 003, Tables 24 and 25"
    config.reported.remarks = (
        "The abstract and the conclusion print 90.04. Crop and flip: the report names no "
        "augmentation, and nets of this size stay well below 90 % without it. The plateau is the "
        "one printed for Tables 21 and 22: validation loss, patience 5, factor 0.5."
    )
    return config
