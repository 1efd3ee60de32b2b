"""The trainings of the five reports: which config is which."""

from typing import NamedTuple

from cifar_jax.config import named
from cifar_jax.errors import UserError


class Experiment(NamedTuple):
    """One training of a report. `config` is a file of the folder CONFIGS, with its variant."""

    report: str
    id: str
    config: str


def _variants(report, file, *variants):
    return [Experiment(report, variant, f"{file}:{variant}") for variant in variants]


EXPERIMENTS = [
    *_variants("000", "plain_cnn.py", "model_1", "model_2", "model_3", "model_4"),
    *_variants(
        *("001", "modified_net.py", "baseline", "lr_0.0001", "lr_0.0005", "lr_0.005", "lr_0.01"),
        *("adam", "rmsprop", "adagrad", "label_smoothing", "origin", "modified"),
    ),
    *_variants("002", "selective_kernel_net.py", "lr_0.01", "lr_0.005", "lr_0.001"),
    Experiment("003", "basic", "basic_net.py"),
    *_variants("003", "wide_net.py", "wide", "gap", "attention"),
    Experiment("003", "resnet18_sgd", "resnet18.py:sgd"),
    Experiment("003", "resnet18_adam", "resnet18.py:adam"),
    Experiment("003", "resnet18_adam_low", "resnet18.py:adam_low"),
    Experiment("003", "resnet10", "resnet10.py:constant"),
    Experiment("003", "resnet10_plateau", "resnet10.py:plateau"),
    Experiment("003", "resnet18_dw", "resnet18_dw.py"),
    *_variants(
        *("004", "big_net.py", "base", "improved", "no_scheduler", "no_l2"),
        *("no_batch_norm", "no_dropout"),
    ),
]

CONFIGS = named.FOLDER


def check_checkout():
    """Raise UserError where the package is not in a checkout, in which records and their table are kept."""
    if not (CONFIGS.parent / "README.md").is_file():
        raise UserError(
            "records are kept in a checkout of the repository, and this package is installed without one: install "
            "that with pip install -e . and run it there"
        )
