"""Report 004 (Murgolo), Table 1: big_net, its improved form, and that form without one thing at a time.

Variants: base (the default), improved, no_scheduler, no_l2, no_batch_norm, no_dropout.
"""

from cifar_jax.config import default, variant_of

ACCURACY = {
    "base": 60.92,
    "improved": 66.60,
    "no_scheduler": 62.10,
    "no_l2": 61.55,
    "no_batch_norm": 60.65,
    "no_dropout": 62.48,
}


def get_config(variant="base"):
    accuracy = variant_of(ACCURACY, variant)
    config = default()
    config.batch_size = 128
    config.optimizer.momentum = 0.9
    if variant == "base":
        config.model.name = "big_net"
        config.total_epochs = 10
        config.optimizer.learning_rate = 0.001
        config.selection = "last"
    else:
        config.model.name = "big_net" if variant == "no_batch_norm" else "big_net_improved"
        config.model.dropout = 0.0 if variant == "no_dropout" else 0.2
        config.total_epochs = 20
        config.optimizer.learning_rate = 0.0002
        config.optimizer.weight_decay = 0.0 if variant == "no_l2" else 0.004
        if variant != "no_scheduler":
            config.schedule.name = "step"
            config.schedule.drop_factor = 0.1
            config.schedule.drop_epochs = 16
        config.checkpoint.monitor = "validation_loss"
    config.reported.value = accuracy
    config.reported.metric = "test accuracy, %"
    config.reported.source = "report 004, Table 1"
    config.reported.remarks = (
        "No augmentation: the report mentions none. The validation set is 'a fraction of the training data': a tenth. "
        "The improved form keeps the parameters of the best validation loss; the basic one is tested after its last "
        "epoch, as the report has that as an improvement. L2 is added to the gradient of every parameter; MATLAB "
        "leaves biases and batch norm out. Ours of the improved form is 2.2 points below, and two things add up to "
        "about that. 'A fraction of the training data' may have been trained on as well: with all but 100 of the "
        "images trained on, two seeds reach 65.4 in place of 64.1 and 64.7. And the images went through JPEG: once "
        "more, as lossy (blocks four pixels off, quality 64, 30.7 dB), takes 1.0 ± 0.4 points (three seeds in pairs, "
        "64.4 to 63.4). Whether the author did so is not known. It was not a rate of 0.001, as the basic form has: "
        "73.0, one run. The ablations are reported 4 to 6 points below the improved form, that without the last four "
        "epochs' smaller rate too, hardly above the basic form; ours are not. The report says that pixels have mean 0 "
        "and variance 1, and so it is here. But the peak of the loss that it sees when the basic form begins, and, "
        "smaller, without batch norm, is what pixels give that are only centred, of up to 255, as MATLAB's input "
        "layer leaves them by default. Tried so, one run each (dataset.normalization=zerocenter): improved 64.3, "
        "no_batch_norm 61.2 in place of 55.3, which explains that row; base does not learn then, unless its first "
        "convolution begins at deviations of 1e-4 (58.5), with which improved learns slower. Batch norm behind the "
        "third convolution instead: 64.3, one run, which changes nothing; behind the second or first, 55 and 53 % of "
        "the training images are right in the ninth epoch, where it is 57 here."
    )
    return config
