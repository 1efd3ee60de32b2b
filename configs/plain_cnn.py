"""Report 000 (Mantovani and Palmieri), Table 2: activation and dropout, 1,365,930 parameters.

Variants: model_1 (the default) to model_4.
"""

from cifar_jax.config import default, variant_of

#           activation, dropout, accuracy
VARIANTS = {
    "model_1": ("leaky_relu", 0.5, 77.65),
    "model_2": ("leaky_relu", 0.0, 75.22),
    "model_3": ("relu", 0.5, 75.36),
    "model_4": ("relu", 0.0, 78.83),
}


def get_config(variant="model_1"):
    activation, dropout, accuracy = variant_of(VARIANTS, variant)
    config = default()
    config.model.name = "plain_cnn"
    config.model.activation = activation
    config.model.dropout = dropout
    config.total_epochs = 25
    config.batch_size = 256
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 0.001
    config.early_stopping.monitor = "validation_accuracy"
    config.early_stopping.patience = 10
    config.early_stopping.max_gap = 10.0
    config.dataset.validation_fraction = 0.0
    config.selection = "test"
    config.reported.value = accuracy
    config.reported.metric = "test accuracy, %"
    config.reported.source = f"report 000, Table 2, {variant.replace('_', ' ')}"
    config.reported.remarks = (
        "No augmentation: the report mentions none. It watched the accuracy on the test set after each epoch and "
        "stopped by it, and so does this config; whether it tested the best or the last epoch is not said: the best."
    )
    return config
