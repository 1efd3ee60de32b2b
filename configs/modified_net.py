"""Report 001 (Lai), Tables VII to IX: modified_net, 35,730 parameters, by learning rate and optimizer; origin_net.

Variants: baseline (the default), lr_0.0001, lr_0.0005, lr_0.005, lr_0.01, adam, rmsprop, adagrad, label_smoothing,
and the two of Table VII, origin and modified.
"""

from cifar_jax.config import default, variant_of

ACCURACY, F1 = "test accuracy, %", "test F1, mean over classes, %"

#                  optimizer, learning rate, reported, what, table
VARIANTS = {
    "baseline": ("sgd", 0.001, 71.2, ACCURACY, "Table VIII"),
    "lr_0.0001": ("sgd", 0.0001, 65.21, ACCURACY, "Table VIII"),
    "lr_0.0005": ("sgd", 0.0005, 69.62, ACCURACY, "Table VIII"),
    "lr_0.005": ("sgd", 0.005, 72.8, ACCURACY, "Table VIII"),
    "lr_0.01": ("sgd", 0.01, 71.49, ACCURACY, "Table VIII"),
    "adam": ("adam", 0.001, 70.43, ACCURACY, "Table IX"),
    "rmsprop": ("rmsprop", 0.001, 48.64, ACCURACY, "Table IX"),
    "adagrad": ("adagrad", 0.001, 53.48, ACCURACY, "Table IX"),
    "label_smoothing": ("sgd", 0.001, None, ACCURACY, "section III.C.3, equation 14"),
    "origin": ("sgd", 0.0001, 55.21, F1, "Table VII"),
    "modified": ("sgd", 0.0001, 65.36, F1, "Table VII"),
}


def get_config(variant="baseline"):
    optimizer, learning_rate, reported, metric, table = variant_of(VARIANTS, variant)
    config = default()
    config.model.name = "origin_net" if variant == "origin" else "modified_net"
    config.total_epochs = 300
    config.batch_size = 64
    config.dataset.validation_fraction = 0.2
    config.dataset.normalization = "half"
    config.augment.flip = True
    config.augment.rotation = 10.0
    config.optimizer.name = optimizer
    config.optimizer.learning_rate = learning_rate
    if optimizer in ("sgd", "rmsprop"):
        config.optimizer.momentum = 0.9
    if variant == "label_smoothing":
        config.loss.label_smoothing = 0.1
    config.selection = "last"
    config.reported.value = reported
    config.reported.metric = metric
    config.reported.source = f"report 001, {table}"
    config.reported.remarks = (
        "The report gives learning rates and optimizers only; the rest is as in the logs of these trainings, which its "
        "author published (github.com/jonlai211/CIFAR10-Image-Classification, logs/): 300 epochs, batches of 64, a "
        "fifth held out, the last epoch's parameters tested, momentum 0.9 for SGD and RMSprop, flip and rotation. By "
        "them Table IX's optimizers have a rate of 0.001, though it compares them with the SGD of 0.005 (72.8), and "
        "Table VII's nets one of 0.0001. The author flips and rotates the test images too; ours are as they are. The "
        "smoothing of equation 14 has no number: 0.1. Table VII also gives precision and recall: 55.25 and 55.73 for "
        "origin, 65.24 and 65.76 for modified. Table VIII's 72.8 stands in no file of the author's: that of the rate "
        "of 0.005 has 71.49, which the table prints for 0.01, and that of 0.01 has 72.08. Each of his measures is of "
        "another draw of flips and rotations: the accuracy of one training comes out as 71.49 and as 71.66. "
        "Ours after JPEG fit the training images less well than his logs show of the official ones, and that is the "
        "images' doing: after 20 epochs at the rate of 0.01 his network and loop, run with PyTorch on the images "
        "after JPEG, have 60.1 ± 0.5 per cent of them right (n = 3), ours 59.9 ± 0.5 (n = 4), his log 61.9; "
        "through JPEG once more (as in big_net.py's remarks) ours have 59.2 ± 0.8 (n = 3)."
    )
    return config
