"""The models: `create` builds one by name, `from_torch` and `to_torch` carry weights from and to PyTorch."""

from cifar_jax.models.registry import (
    REGISTRY,
    Entry,
    check_images,
    count_params,
    create,
    lookup,
    names,
)
from cifar_jax.models.torch_weights import from_torch, to_torch

__all__ = [
    "REGISTRY",
    "Entry",
    "check_images",
    "count_params",
    "create",
    "from_torch",
    "lookup",
    "names",
    "to_torch",
]
