"""Report 001 (Lai), Table VIII: modified_net at five learning rates of SGD, beside the baseline's 0.001."""

import pathlib

from cifar_jax.sweep import Sweep, of_variants

CONFIGS = pathlib.Path(__file__).parent.parent
VARIANTS = ("baseline", "lr_0.0001", "lr_0.0005", "lr_0.005", "lr_0.01")


def get_sweep():
    base, cells = of_variants(CONFIGS / "modified_net.py", VARIANTS)
    return Sweep(base, cells, baseline="baseline")
