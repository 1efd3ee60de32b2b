"""Report 004 (Murgolo), Table 1: the improved big_net, and that without one thing at a time; the basic one."""

import pathlib

from cifar_jax.sweep import Sweep, of_variants

CONFIGS = pathlib.Path(__file__).parent.parent
VARIANTS = ("improved", "no_scheduler", "no_l2", "no_batch_norm", "no_dropout", "base")


def get_sweep():
    base, cells = of_variants(CONFIGS / "big_net.py", VARIANTS)
    return Sweep(base, cells, baseline="improved")
