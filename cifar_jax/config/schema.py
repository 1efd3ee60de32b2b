"""Every field of a config: its default, its type and what it means."""

import dataclasses
from typing import Any

from cifar_jax.config import registries

OPTIMIZERS = registries.names("train/optimizers.py", "OPTIMIZERS")
SCHEDULES = registries.names("train/schedules.py", "SCHEDULES")
LOSSES = registries.names("train/losses.py", "LOSSES")
POLICIES = registries.names("train/policies.py", "POLICIES")


@dataclasses.dataclass(frozen=True)
class Field:
    """One field. `kind` is its type, `optional` lets it be None, `low` and `high` are inclusive bounds.

    A tuple's elements are of type `element`, and the bounds are theirs.
    """

    default: Any
    doc: str
    kind: type = None
    choices: tuple = ()
    low: float | None = None
    high: float | None = None
    optional: bool = False
    element: type = None
    affects_result: bool = True  # False: a run may be continued with another value
    path: bool = False  # of a file or folder, so no URL
    prefix: str = ""  # what begins so is taken beside the choices

    def __post_init__(self):
        if self.kind is None:
            object.__setattr__(self, "kind", type(self.default))


SCHEMA = {
    "seed": Field(0, "Seed of initialisation, data order, augmentation and dropout.", low=0, high=2**31 - 1),
    "total_epochs": Field(20, "Passes over the training images.", low=1, high=100_000),
    "batch_size": Field(128, "Images per training step, over all devices; the rest of an epoch that fills "
                             "no batch is left out (other images each epoch).", low=1),
    "accumulate_steps": Field(1, "Parts of a batch whose gradients are taken one after the other and averaged, for a "
                                 "batch that does not fit in memory. Batch norm sees the parts, not the batch.", low=1),
    "eval_batch_size": Field(256, "Images per evaluation step; every image counts once.", low=1),
    "dtype": Field("float32", "Type of the computation; parameters and statistics stay float32.",
                   choices=("float32", "bfloat16")),
    "selection": Field("validation", "Which parameters are the result: `validation` = the best checkpoint by "
                                     "checkpoint.monitor, `last` = those of the last step, `test` = the best "
                                     "checkpoint on the test set, which then is the validation set of all that "
                                     "watches one: for reports that did so; the figures are optimistic and tables "
                                     "say so.",
                       choices=("validation", "last", "test")),
    "log_every_steps": Field(100, "Steps between two lines of metrics, and between two looks at signals.", low=1,
                             affects_result=False),
    "compilation_cache": Field("auto", "Folder of XLA's compiled programs: `auto` = ~/.cache/cifar_jax/xla (or "
                                       "JAX_COMPILATION_CACHE_DIR where set), `off` = none.", affects_result=False,
                               path=True),
    "tensorboard": Field(True, "Write TensorBoard events (needs TensorFlow).", affects_result=False),
    "model": {
        "name": Field("basic_net", "A name of cifar_jax.models."),
        "dropout": Field(None, "Dropout rate; None = the model's own.", kind=float, optional=True, low=0, high=0.999),
        "activation": Field(None, "Activation, where a model lets it be chosen; None = the model's own.", kind=str,
                            optional=True, choices=("relu", "leaky_relu")),
        "weights": Field("", "File to start from, .safetensors or .npz; see python -m cifar_jax.weights --help. "
                             "Empty = the model's own initialisation. A run that goes on needs it no more; "
                             "another content makes another run, another name does not. Of a model for another "
                             "number of classes all is taken but the last layer, which begins anew.", path=True),
        "freeze": Field("", "Layers that stay as `weights` has them, batch statistics included: `backbone` = all but "
                            "the last, or names of cifar_jax.summary --model, with commas; a block's "
                            "or stage's name stands for all layers in it."),
    },
    "dataset": {
        "name": Field("cifar10", "`digits` (embedded), `folder` (your own pictures, in dataset.path) or any TFDS set "
                                 "of fixed-size images with train and test."),
        "path": Field("", "folder: PATH/CLASS/picture.jpg, or PATH/train/CLASS/..., with PATH/val and PATH/test "
                          "where they are there.", affects_result=False, path=True),
        "max_unreadable": Field(0.01, "folder: the share of files that may be no pictures.", low=0, high=1,
                                affects_result=False),
        "data_dir": Field("", "TFDS folder; empty = TFDS_DATA_DIR or ~/tensorflow_datasets.", affects_result=False,
                          path=True),
        "image_size": Field(32, "Pixels of a side that all images are brought to. Models that flatten a feature map "
                                "take one size only, and say which.", low=8, high=256),
        "archive": Field("", "Official CIFAR archive or its extracted folder, to prepare the set from, once.",
                         affects_result=False, path=True),
        "validation_fraction": Field(0.1, "Share of the training images held out, stratified by class; 0 = none.",
                                     low=0, high=0.9),
        "normalization": Field("statistics", "What is subtracted from pixels of 0 to 1, and what they are divided by: "
                                             "`statistics` = mean and deviation of the data set, channel by channel, "
                                             "`half` = 0.5 and 0.5, as PyTorch's tutorial does, `zerocenter` = the "
                                             "data set's mean and 1/255, so pixels of up to 255, MATLAB's default.",
                               choices=("statistics", "half", "zerocenter")),
        "residency": Field("auto", "Where the images are while a run trains: `device` = on the devices, `stream` = on "
                                   "the host, from where batches are read ahead, `auto` = on the devices if they take "
                                   "up less than half of them. The numbers are the same.",
                           choices=("auto", "device", "stream"), affects_result=False),
        "threads": Field(2, "stream: threads that read batches.", low=1, high=256, affects_result=False),
        "split_seed": Field(0, "Seed of that split: the same for all seeds of an experiment.", low=0),
    },
    "augment": {
        "crop_padding": Field(0, "Pixels padded on each side before a random crop of the old size; 0 = no crop.",
                              low=0, high=31),
        "crop_mode": Field("zero", "What is padded.", choices=("zero", "reflect")),
        "flip": Field(False, "Horizontal flip of half of the images."),
        "flip_mode": Field("random", "Which half: `random` = by chance, each time anew; `alternating` = by chance in "
                                     "the first epoch, from then on each image in every second epoch.",
                           choices=("random", "alternating")),
        "policy": Field("none", "Operations that chance gives each image after crop and flip: `randaugment` (Cubuk et "
                                "al. 2019) or `trivialaugment` (Mueller and Hutter 2021), as torchvision has them.",
                        choices=POLICIES),
        "operations": Field(2, "randaugment: operations an image gets, one after the other.", low=1, high=10),
        "magnitude": Field(9, "randaugment: how strong they are.", low=0, high=30),
        "rotation": Field(0.0, "Greatest angle, in degrees, of a random rotation; 0 = none.", low=0, high=180),
        "cutout": Field(0, "Side of the square that is cut out (DeVries and Taylor 2017); 0 = none.", low=0, high=64),
        "erasing": Field(0.0, "Random erasing (Zhong et al. 2017), after cutout: the probability that a box of an "
                              "image, 2 to 33 per cent of its area, is filled with the mean colour; 0 = none.",
                         low=0, high=1),
        "image_sizes": Field((), "Progressive resizing: pixels of a side that the images of each epoch are brought to "
                                 "after all else, such as (16, 24, 32), the last from then on; () = none.",
                             element=int, low=8, high=256),
        "mixup_alpha": Field(0.0, "Alpha of mixup (Zhang et al. 2018); 0 = off. Training accuracy then counts the "
                                  "label of the greater share.", low=0, high=100),
        "cutmix_alpha": Field(0.0, "Alpha of CutMix (Yun et al. 2019); 0 = off. With mixup too, each batch gets one "
                                   "of them, by a fair coin.", low=0, high=100),
    },
    "loss": {
        "name": Field("cross_entropy", "The training loss; evaluation reports plain cross entropy whatever it is. "
                                       "`softmax_twice` gives softmax outputs to a loss that applies softmax itself "
                                       "(report 002; its least value for ten classes is 1.461), `focal` is that of "
                                       "Lin et al. (2017).",
                      choices=LOSSES),
        "label_smoothing": Field(0.0, "Share of the target that is spread evenly over all classes.", low=0, high=1),
        "class_weights": Field((), "One weight for each class, as PyTorch's CrossEntropyLoss takes them; () = none.",
                               element=float, low=1e-6, high=1e6),
        "gamma": Field(2.0, "focal: the exponent.", low=0, high=100),
    },
    "optimizer": {
        "name": Field("sgd", "With PyTorch's defaults; lion and muon with Optax's. `airbench`: Muon for convolutions, "
                             "whose kernels keep their norm, SGD for the rest, each at the rate it has there "
                             "(Jordan 2024; see configs/speedrun.py). `optax:NAME`: any of Optax and its contrib, such "
                             "as optax:adabelief, with Optax's defaults but no weight decay of its own.",
                      choices=OPTIMIZERS, prefix="optax:"),
        "options": Field("", "Numbers of the optimizer that have no field, such as `b1=0.95,eps=1e-6`: adam, adamw, "
                             "adan, lion, rmsprop, adagrad and optax:NAME, by Optax's names."),
        "clip_norm": Field(0.0, "Greatest norm of the gradient of all parameters together, which is scaled down to it; "
                                "0 = off.", low=0),
        "learning_rate": Field(0.001, "Base learning rate; the schedule multiplies it.", low=0, high=1e30),
        "backbone_factor": Field(1.0, "Learning rate of all layers but the last: learning_rate times this.", low=0,
                                 high=1),
        "layer_factors": Field("", "Learning rates of layers: learning_rate times a factor of 0 to 100 each, such as "
                                   "`stage1=0.1,stage2_block1/conv1=0.3`, by names of cifar_jax.summary --model; a "
                                   "block's or stage's name stands for all layers in it, and the longest name counts. "
                                   "0 keeps weights as they are; batch statistics still move. Others have "
                                   "backbone_factor."),
        "momentum": Field(0.0, "Momentum of sgd and rmsprop.", low=0, high=0.9999),
        "nesterov": Field(False, "sgd: Nesterov's momentum."),
        "weight_decay": Field(0.0, "Weight decay, for all parameters (airbench: but convolutions).", low=0, high=1e30),
        "weight_decay_for": Field("all", "`kernels`: only what has two axes or more decays; no biases, no norms' "
                                         "scales.",
                                  choices=("all", "kernels")),
        "weight_decay_mode": Field("auto", "`l2`: added to the gradient before momentum and scaling; `decoupled`: "
                                           "learning rate * weight_decay * parameter is subtracted; `auto`: as the "
                                           "optimizer's authors do, l2 for sgd, adam, rmsprop, adagrad and airbench.",
                                   choices=("auto", "l2", "decoupled")),
    },
    "ema": {
        "decay": Field(0.0, "Decay of the moving averages, without bias, of parameters and batch statistics, which "
                            "are evaluated in place of the last ones; 0 = off.", low=0, high=0.999999),
    },
    "schedule": {
        "name": Field("constant", "`constant`, `step` (times drop_factor every drop_epochs: PyTorch's StepLR), "
                                  "`multistep` (times factor at each of the milestones: its MultiStepLR), `cosine` "
                                  "and `linear` (to 0 after the last step), `one_cycle` (PyTorch's OneCycleLR, "
                                  "learning rate only) or `plateau` (PyTorch's ReduceLROnPlateau on the validation "
                                  "metric).",
                      choices=SCHEDULES),
        "warmup_epochs": Field(0.0, "Epochs of linear warm-up from 0, counted in total_epochs (not one_cycle, "
                                    "plateau).", low=0),
        "drop_factor": Field(0.1, "step: learning rate times this.", low=0, high=1),
        "drop_epochs": Field(10, "step: epochs from drop to drop.", low=1, high=100_000),
        "milestones": Field((), "multistep: the epochs after which the learning rate drops, such as (60, 80).",
                            element=int, low=1, high=100_000),
        "monitor": Field("validation_loss", "plateau: the metric watched.",
                         choices=("validation_loss", "validation_accuracy")),
        "factor": Field(0.1, "plateau and multistep: learning rate times this.", low=0, high=0.9999),
        "patience": Field(10, "plateau: epochs without improvement that are waited through.", low=0),
        "threshold": Field(1e-4, "plateau: least improvement that counts.", low=0),
        "threshold_mode": Field("rel", "plateau: threshold relative to the best value, or absolute.",
                                choices=("rel", "abs")),
        "cooldown": Field(0, "plateau: epochs after a drop in which nothing is counted.", low=0),
        "min_learning_rate": Field(0.0, "plateau: the floor.", low=0),
    },
    "early_stopping": {
        "monitor": Field("validation_loss", "The metric that patience waits for.",
                         choices=("validation_loss", "validation_accuracy")),
        "patience": Field(0, "Stop after so many epochs in turn without a better value; 0 = never.", low=0,
                          high=100_000),
        "min_delta": Field(0.0, "A better value is better by more than this.", low=0),
        "max_gap": Field(0.0, "Stop when training accuracy (the epoch's mean, of augmented images) exceeds validation "
                              "accuracy by more percentage points than this; 0 = never.", low=0, high=100),
    },
    "evaluation": {
        "flip": Field(False, "Evaluate the mean of the logits of each image and of its mirror image."),
        "translate": Field(0, "Evaluate half the logits of each image and a quarter of those of the image moved by so "
                              "many pixels down and right, and up and left, with reflection; 0 = off. With flip each "
                              "of the three is the mean over its mirror image.", low=0, high=31),
    },
    "checkpoint": {
        "every_epochs": Field(1, "Epochs between checkpoints, of which the best and the last are kept.", low=1),
        "monitor": Field("validation_accuracy", "What `best` means.",
                         choices=("validation_accuracy", "validation_loss")),
    },
    "parallel": {
        "dataset": Field("replicated", "Where the images are: `replicated` = every device holds all, `sharded` = each "
                                       "an equal share, from which every batch is gathered.",
                         choices=("replicated", "sharded"), affects_result=False),
        "batch_norm": Field("global", "Statistics over the whole batch (`global`), or over each device's share of it "
                                      "(`per_device`), the running ones then averaged.",
                            choices=("global", "per_device")),
        "backend": Field("jit", "How a step runs on several devices: `jit` = one program that XLA shares out, `pmap` = "
                                "jax.pmap of the step on a share. The numbers are the same, but dropout draws others.",
                         choices=("jit", "pmap")),
    },
    "reported": {
        "value": Field(None, "The figure of the report that this config reproduces.", kind=float, optional=True,
                       affects_result=False),
        "metric": Field("", "What that figure is.", affects_result=False),
        "source": Field("", "Report and table.", affects_result=False),
        "remarks": Field("", "What the report leaves open and how it was decided.", affects_result=False),
    },
}  # fmt: skip


def fields(schema: dict[str, Any] | None = None, prefix: str = "") -> dict[str, Field]:
    """Flatten the schema: "dataset.name" -> Field, in order."""
    flat = {}
    for name, entry in (SCHEMA if schema is None else schema).items():
        if isinstance(entry, Field):
            flat[prefix + name] = entry
        else:
            flat |= fields(entry, f"{prefix}{name}.")
    return flat
