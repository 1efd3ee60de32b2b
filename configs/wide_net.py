"""Report 003 (Cao), Tables 4 to 12: wide_net, and with batch norm, pooling and attention on top of it.

Variants: wide (the default), gap, attention.
"""

from cifar_jax.config import default, variant_of

#           model, epochs, accuracy, tables
VARIANTS = {
    "wide": ("wide_net", 100, 77.91, "5 and 6"),
    "gap": ("gap_net", 50, 82.14, "8 and 9"),
    "attention": ("attention_net", 50, 81.77, "11 and 12"),
}


def get_config(variant="wide"):
    model, epochs, accuracy, tables = variant_of(VARIANTS, variant)
    config = default()
    config.model.name = model
    config.total_epochs = epochs
    config.batch_size = 8
    config.optimizer.learning_rate = 0.001
    config.optimizer.momentum = 0.9
    if variant == "attention":
        config.schedule.name = "plateau"
        config.schedule.factor = 0.5
        config.schedule.patience = 5
    config.selection = "last"
    config.log_every_steps = 500
    config.reported.value = accuracy
    config.reported.metric = "test accuracy, %"
    config.reported.source = f"report 003, Tables {tables}"
    config.reported.remarks = (
        "No augmentation: the report mentions none for these nets. Batch of 8, as Table 2 has it. A tenth of the "
        "training images is held out; the last epoch's parameters are tested, as the report speaks of no selection. "
        "The attention net's plateau is the one printed for Tables 21 and 22: patience 5, factor 0.5."
    )
    return config
