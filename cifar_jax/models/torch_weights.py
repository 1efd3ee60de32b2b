"""Weights from PyTorch and back: a state dict of arrays <-> the variables of a model.

PyTorch keeps a convolution's kernel as [out, in, rows, columns] and a linear layer's as [out, in], and
flattens a feature map as [C, H, W]; here it is [rows, columns, in, out], [in, out] and [H, W, C].
"""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import unflatten_dict

from cifar_jax.errors import ConfigError
from cifar_jax.models.registry import last_layers, lookup, shapes
from cifar_jax.models.torch_names import convention

OURS = convention("cifar_jax")

LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}

# The parts that wrappers put into names, at any depth: DataParallel and AveragedModel, torch.compile, FSDP,
# activation checkpoints; and what training loops call the model. No layer of a model here is called so.
WRAPPERS = frozenset(
    ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "model", "net")
    + ("state_dict", "model_state_dict")
)
# Under which of their entries checkpoints hold a model's state dict.
HOLDERS = ("model_state_dict", "state_dict", "model", "net", "module")
COUNTERS = ("num_batches_tracked", "n_averaged")
NUMBERS = (jnp.floating, jnp.integer, jnp.bool_)


def from_torch(
    name: str,
    state_dict: Mapping[str, Any],
    num_classes: int | None = None,
    new_head: bool = False,
) -> dict[str, Any]:
    """Return the variables of a model with the weights of a PyTorch state dict.

    Args:
      name: of the model.
      state_dict: name -> array or CPU tensor. The names may be those of our own modules, of
        kuangliu/pytorch-cifar or of torchvision, where the model has such; the one that fits best is taken.
        Parts of names that wrappers put there ("_orig_mod.module.") and counters beside the weights
        (`num_batches_tracked`, `n_averaged`, any single number) are passed over. Of a whole checkpoint,
        {"state_dict": ..., "epoch": ...}, the model's is taken.
      num_classes: of the last layer; None takes the entry's.
      new_head: whether the last layer, where it is of another number of classes, is left out of what is returned.
    Returns:
      {"params": ..., "batch_stats": ...} of NumPy arrays, float32 (float64 stays): what `model.apply` takes.
      `batch_stats` is there for a model that has batch norm.
    Raises:
      ConfigError: unknown model, or entries that are missing, unknown, of another shape or no numbers, each by
        its name; two entries of one name but for wrappers.
    """
    return carry(name, shapes(name, num_classes), state_dict, new_head)


def carry(name, tree, state_dict, new_head=False):
    """Do as `from_torch` for variables of the shapes in `tree`, where the model is built with other widths."""
    arrays = _weights(state_dict)
    tables = (_table(tree, each) for each in _conventions(name))
    convention, table = max(tables, key=lambda table: len(table[1].keys() & arrays.keys()))
    if new_head:
        for key in _other_classes(name, table, arrays):
            del table[key], arrays[key]
    wrong = _differences(table, arrays)
    if wrong:
        raise ConfigError(
            f"this state dict, read with the names of {convention.name}, is not one of {name!r}:\n  "
            + "\n  ".join(wrong)
        )
    leaves = {
        path: _from_torch_layout(arrays[key], _flattened(name, path))
        for key, (path, _) in table.items()
    }
    return unflatten_dict(leaves)


def to_torch(
    name: str, variables: Mapping[str, Any], names: str | None = None
) -> dict[str, np.ndarray]:
    """Return the state dict that `from_torch` reads: its inverse.

    Args:
      name: of the model.
      variables: {"params": ..., "batch_stats": ...}.
      names: "cifar_jax" for our own names, or "kuangliu" or "torchvision" for a model that has such; None
        takes the first that the model has, else our own.
    Returns:
      name -> NumPy array, in the order of the layers' names here. `torch.nn.Module.load_state_dict` takes
      them as tensors; it makes up the `num_batches_tracked` that are not there.
    Raises:
      ConfigError: unknown model or names.
    """
    known = {each.name: each for each in _conventions(name)}
    names = next(iter(known)) if names is None else names
    if names not in known:
        raise ConfigError(f"model {name!r} has no names of {names!r}, but of {', '.join(known)}")
    leaves = jax.tree_util.tree_leaves_with_path(variables)
    return {
        _torch_name(_keys(path), known[names]): _to_torch_layout(
            np.asarray(leaf), _flattened(name, _keys(path))
        )
        for path, leaf in leaves
    }


def _conventions(name):
    """Return the conventions of a model; our own last, so that it is the default where there is no other."""
    return (*lookup(name).torch_names, OURS)


def _weights(state_dict):
    """Return name -> array of the weights in a state dict, or in a checkpoint that holds one, without wrappers' names.

    Raises:
      ConfigError: two entries are one name then.
    """
    for holder in HOLDERS:
        if isinstance(state_dict.get(holder), Mapping):
            return _weights(state_dict[holder])
    arrays, names = {}, {}
    for key, value in state_dict.items():
        bare = ".".join(part for part in str(key).split(".") if part not in WRAPPERS)
        if bare.split(".")[-1] in COUNTERS or np.ndim(value) == 0:
            continue
        if bare in arrays:
            raise ConfigError(f"{names[bare]} and {key} are both {bare}: leave one of them out")
        arrays[bare], names[bare] = _array(value), key
    return arrays


def _array(value):
    """Return an array, or a PyTorch tensor, as NumPy's, which can't ask for one with a gradient or of bfloat16."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if "bfloat16" in str(value.dtype) else value
    return np.asarray(value)


def _keys(path):
    """Return ("params", "conv1", "kernel") of a path of jax.tree_util."""
    return tuple(key.key for key in path)


def _torch_name(path, convention):
    _, *layers, leaf = path
    return f"{convention.rename('.'.join(layers))}.{LEAVES[leaf]}"


def _table(tree, convention):
    """Return the convention, and its name -> (path, shape here) of every leaf."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    paths = ((_keys(path), leaf.shape) for path, leaf in leaves)
    return convention, {_torch_name(path, convention): (path, shape) for path, shape in paths}


def _differences(table, arrays):
    """List why `arrays` is no state dict of the table, as parts of a message."""
    wrong = []
    if missing := [key for key in table if key not in arrays]:
        wrong.append(f"missing: {', '.join(missing)}")
    if unknown := [key for key in arrays if key not in table]:
        wrong.append(f"unknown: {', '.join(unknown)}")
    for key, (_, shape) in table.items():
        wanted = _torch_shape(shape)
        if key not in arrays:
            continue
        if arrays[key].shape != wanted:
            wrong.append(f"{key} has shape {arrays[key].shape}, not {wanted}")
        if not any(jnp.issubdtype(arrays[key].dtype, kind) for kind in NUMBERS):
            wrong.append(f"{key} is of type {arrays[key].dtype}, not of real numbers")
    return wrong


def _other_classes(name, table, arrays):
    """List the last layers' entries where all of them are there, of another number of classes and fit otherwise."""
    last = last_layers(name)
    keys = [key for key, (path, _) in table.items() if "/".join(path[1:-1]) in last]
    shapes = {key: np.shape(arrays.get(key)) for key in keys}
    wanted = {key: _torch_shape(table[key][1]) for key in keys}
    counts = {shape[:1] for shape in shapes.values()}
    fits = all(shapes[key][1:] == wanted[key][1:] for key in keys)
    another = counts != {shape[:1] for shape in wanted.values()}
    return keys if len(counts) == 1 and () not in counts and fits and another else []


def _torch_shape(shape):
    """Return the shape in PyTorch's layout of a leaf of such a shape."""
    return _to_torch_layout(np.broadcast_to(np.int8(0), shape), None).shape


def _flattened(name, path):
    """Return the feature map [H, W, C] whose pixels are the inputs of the kernel at `path`; None for others."""
    return lookup(name).flattened if path[-2:] == ("fc1", "kernel") else None


def _from_torch_layout(value, flattened):
    """Return a PyTorch tensor's array as a Flax leaf; `flattened` as of _flattened."""
    value = np.asarray(value, np.promote_types(value.dtype, np.float32))
    if value.ndim == 4:
        return np.ascontiguousarray(value.transpose(2, 3, 1, 0))
    if value.ndim == 2 and flattened is not None:
        height, width, channels = flattened
        value = value.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
    return np.array(value.reshape(len(value), -1).T if value.ndim > 1 else value)


def _to_torch_layout(value, flattened):
    """Return a Flax leaf as a PyTorch tensor's array: the inverse of _from_torch_layout."""
    if value.ndim == 4:
        return np.ascontiguousarray(value.transpose(3, 2, 0, 1))
    if value.ndim == 2 and flattened is not None:
        assert math.prod(flattened) == len(value), (flattened, value.shape)
        value = value.reshape(*flattened, -1).transpose(2, 0, 1, 3).reshape(value.shape)
    return np.ascontiguousarray(value.T)
