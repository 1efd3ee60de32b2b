"""Under a minute on two CPU cores with --runs 3, no download: learning rates on the digits."""

from cifar_jax.config import default
from cifar_jax.sweep import Sweep, grid


def get_sweep():
    config = default()
    config.dataset.name = "digits"
    config.model.name = "basic_net"
    config.total_epochs = 10
    config.batch_size = 32
    config.optimizer.momentum = 0.9
    config.log_every_steps = 40
    rates = [0.003, 0.01, 0.03]
    return Sweep(config, grid({"optimizer.learning_rate": rates}), baseline="lr_0.01")
