"""Files of weights, .safetensors and .npz: name -> array. Nothing in them is executed."""

import hashlib
import pathlib
import zipfile

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from cifar_jax.errors import UserError
from cifar_jax.machine import files
from cifar_jax.models import box
from cifar_jax.models.torch_weights import from_torch


def read(path):
    """Read the arrays of a .safetensors or .npz file, or of "pretrained:NAME".

    Returns:
        name -> NumPy array.
    Raises:
        UserError: no such file, another kind of file, or a damaged one. Nothing in it is executed.
    """
    path = _checked_kind(path)
    if not path.is_file():
        raise UserError(f"no file of weights {path}")
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                return dict(file)
        with safe_open(path, framework="numpy") as file:
            # bfloat16 is no type of NumPy's own, but ml_dtypes', which JAX imports.
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, SafetensorError) as error:
        raise UserError(f"{path} can't be read as a {path.suffix} file: {error}") from error


def write(path, arrays):
    """Write name -> NumPy array to a .safetensors or .npz file, whole or not at all.

    Arrays may be transposed, sliced or of another byte order. NumPy has no bfloat16: in a .npz it is float32.

    Raises:
        UserError: another kind of file, or a folder that can't be written.
    """
    path = _checked_kind(path)
    with files.refusals(path), files.replacing(path) as partial:
        if path.suffix == ".npz":
            known = {
                name: each.astype(np.float32) if each.dtype == jnp.bfloat16 else each
                for name, each in arrays.items()
            }
            np.savez(partial, **known)
        else:
            # `save` takes the memory as it lies, whatever the strides say of it.
            ordered = {name: np.asarray(each, order="C") for name, each in arrays.items()}
            # safetensors' own errors of files are none of Python's, and it knows names only in UTF-8.
            partial.write_bytes(save(ordered))


def load(path, name, num_classes=None, new_head=False):
    """Read the variables of a model from a file; for the arguments see `models.from_torch`.

    Raises:
        UserError: as `read` and `models.from_torch`, naming the file; or a value is NaN or infinite.
    """
    arrays = read(path)
    try:
        for key, array in arrays.items():
            if jnp.issubdtype(array.dtype, jnp.floating) and not np.isfinite(array).all():
                raise UserError(f"{key} has values that are NaN or infinite")
        return from_torch(name, arrays, num_classes, new_head)
    except UserError as error:
        raise type(error)(f"{path}: {error}") from error


def is_gone(path):
    """Return whether there is no such file; not where `path` is "", none."""
    return bool(path) and not _checked_kind(path).is_file()


def digest(path):
    """Return the SHA-256 of the content of a file of weights, hex digits; None where there is no file.

    Raises:
        UserError: another kind of file.
    """
    if is_gone(path):
        return None
    with _checked_kind(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checked_kind(path):
    if box.is_named(path):
        return box.file_of(path)
    path = pathlib.Path(path).expanduser()
    if path.suffix in (".pt", ".pth", ".bin", ".pkl", ".ckpt"):
        raise UserError(
            f"{path} may hold Python code and is not opened; in PyTorch, safetensors.torch.save_file("
            'model.state_dict(), "weights.safetensors") makes a file that can be read here'
        )
    if path.suffix not in (".safetensors", ".npz"):
        raise UserError(f"{path} is neither a .safetensors nor a .npz file")
    return path
