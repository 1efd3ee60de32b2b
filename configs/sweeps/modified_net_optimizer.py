"""Report 001 (Lai), Table IX: modified_net by optimizer, at 0.001, beside the SGD of 0.005 that the table prints."""

import pathlib

from cifar_jax.sweep import Sweep, of_variants

CONFIGS = pathlib.Path(__file__).parent.parent
VARIANTS = ("lr_0.005", "adam", "rmsprop", "adagrad")


def get_sweep():
    base, cells = of_variants(CONFIGS / "modified_net.py", VARIANTS)
    return Sweep(base, cells, baseline="lr_0.005")
