"""Sweeps: many runs trained as one program. The command is `python -m cifar_jax.sweep`."""

from cifar_jax.sweep.cells import (
    Sweep,
    choice,
    grid,
    log_uniform,
    of_variants,
    random_search,
    uniform,
)

__all__ = ["Sweep", "choice", "grid", "log_uniform", "of_variants", "random_search", "uniform"]
