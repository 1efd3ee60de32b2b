"""Report 003 (Cao), Tables 1 to 3: a LeNet-like net, 62,006 parameters, 62.06 % test accuracy."""

from cifar_jax.config import default


def get_config():
    config = default()
    config.model.name = "basic_net"
    config.total_epochs = 20
    config.batch_size = 8
    config.optimizer.learning_rate = 0.001
    config.optimizer.momentum = 0.9
    config.dataset.normalization = "half"
    config.dataset.validation_fraction = 0.0
    config.selection = "last"
    config.log_every_steps = 500
    config.reported.value = 62.06
    config.reported.metric = "test accuracy, %"
    config.reported.source = "report 003, Tables 2 and 3"
    config.reported.remarks = (
        "Net, rate and momentum are those of PyTorch's tutorial, so pixels are normalised with 0.5 and 0.5 as there, "
        "without augmentation. The report mentions validation splits, but its printed log has a line for iteration "
        "6000 of an epoch, and there are 5,625 batches of 8 without a tenth of the images: none are held out. It "
        "speaks of no selection, so the last epoch's parameters are tested."
    )
    return config
