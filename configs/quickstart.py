"""Under a minute on two CPU cores, no download: basic_net on scikit-learn's handwritten digits."""

from cifar_jax.config import default


def get_config():
    config = default()
    config.dataset.name = "digits"
    config.model.name = "basic_net"
    config.total_epochs = 60
    config.batch_size = 32
    config.augment.crop_padding = 3
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 0.002
    config.schedule.name = "cosine"
    config.log_every_steps = 40
    return config
