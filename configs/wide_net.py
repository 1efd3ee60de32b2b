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
    config.dataset.normalization = "half"
    if variant == "attention":
        config.schedule.name = "plateau"
        config.schedule.factor = 0.5
        config.schedule.patience = 5
    else:
        config.dataset.validation_fraction = 0.0
    config.selection = "last"
    config.log_every_steps = 500
    config.reported.value = accuracy
    config.reported.metric = "test accuracy, %"
    config.reported.source = f"report 003, Tables {tables}"
    config.reported.remarks = (
        "Batch of 8, as Table 2 has it; no augmentation and normalisation with 0.5 and 0.5, as for basic_net. The "
        "log of the wide net has a line for iteration 6000 of an epoch, so no image is held out; for the attention "
        "net's plateau a tenth is. The last epoch's parameters are tested, as the report speaks of no selection. "
        "That plateau is the one printed for Tables 21 and 22: patience 5, factor 0.5."
    )
    return config
