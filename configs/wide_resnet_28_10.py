"""Zagoruyko and Komodakis 2016, Wide Residual Networks, section 3: wide_resnet_28_10, 36,479,194 parameters.

The paper states 4.00 % test error, https://arxiv.org/abs/1605.07146. It trains in float32; here the
computation is in bfloat16. All 50,000 training images are trained on, and the last parameters count.
"""

from cifar_jax.config import default


def get_config():
    config = default()
    config.model.name = "wide_resnet_28_10"
    config.total_epochs = 200
    config.batch_size = 128
    config.dtype = "bfloat16"
    config.dataset.validation_fraction = 0.0
    config.selection = "last"
    config.augment.crop_padding = 4
    config.augment.crop_mode = "reflect"
    config.augment.flip = True
    config.optimizer.learning_rate = 0.1
    config.optimizer.momentum = 0.9
    config.optimizer.nesterov = True
    config.optimizer.weight_decay = 5e-4
    config.schedule.name = "multistep"
    config.schedule.factor = 0.2
    config.schedule.milestones = (60, 120, 160)
    return config
