"""Report 003 (Cao), Tables 1 to 3: a LeNet-like net, 62,006 parameters, 62.06 % test accuracy."""

from cifar_jax.config import default


def get_config():
    config = default()
    config.model.name = "basic_net"
    config.total_epochs = 20
    config.batch_size = 8
    config.optimizer.learning_rate = 0.001
    config.optimizer.momentum = 0.9
    config.selection = "last"
    config.log_every_steps = 500
    config.reported.value = 62.06
    config.reported.metric = "test accuracy, %"
    config.reported.source = "report 003, Tables 2 and 3"
    config.reported.remarks = (
        "No augmentation: the report mentions none for this net. A tenth of the training images is "
        "held out for validation, as the report mentions splits without their size; the parameters "
        "of the last epoch are tested, as the report speaks of no selection."
    )
    return config
