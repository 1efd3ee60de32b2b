"""Report 000 (Mantovani and Palmieri), Table 2: activation and dropout."""

import pathlib

from cifar_jax.sweep import Sweep, of_variants

CONFIGS = pathlib.Path(__file__).parent.parent
VARIANTS = ("model_1", "model_2", "model_3", "model_4")


def get_sweep():
    base, cells = of_variants(CONFIGS / "plain_cnn.py", VARIANTS)
    return Sweep(base, cells, baseline="model_1")
