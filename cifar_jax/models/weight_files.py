"""Files of weights, .safetensors and .npz: name -> array. Nothing in them is executed."""

import hashlib
import pathlib
import zipfile

import numpy as np

from cifar_jax.errors import UserError
from cifar_jax.machine import files


def read(path):
    """The arrays of a .safetensors or .npz file.

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
        from safetensors import safe_open

        with safe_open(path, framework="numpy") as file:
            return {name: _array(file, name) for name in file.keys()}  # noqa: SIM118
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} can't be read as a {path.suffix} file: {error}") from error
    except Exception as error:  # safetensors has a type of its own for damage
        if type(error).__name__ != "SafetensorError":
            raise
        raise UserError(f"{path} can't be read as a .safetensors file: {error}") from error


def write(path, arrays):
    """Writes name -> NumPy array to a .safetensors or .npz file, whole or not at all.

    Arrays may be transposed, sliced or of another byte order. NumPy has no bfloat16: in a .npz it is float32.

    Raises:
        UserError: another kind of file, or a folder that can't be written.
    """
    path = _checked_kind(path)
    try:
        with files.replacing(path) as partial:
            if path.suffix == ".npz":
                np.savez(
                    partial, **{name: _in_numpys_types(array) for name, array in arrays.items()}
                )
            else:
                from safetensors.numpy import save

                # It takes the memory as it lies, whatever the strides say of it.
                ordered = {name: np.asarray(each, order="C") for name, each in arrays.items()}
                # Its own errors of files are none of Python's, and it knows names only in UTF-8.
                partial.write_bytes(save(ordered))
    except OSError as error:
        raise UserError(f"can't write {path} ({error.strerror})") from error


def load(path, name, num_classes=None):
    """The variables of a model from a file; see `models.from_torch`.

    Raises:
        UserError: as `read` and `models.from_torch`, naming the file; or a value is NaN or infinite.
    """
    from cifar_jax import models

    arrays = read(path)
    try:
        for key, array in arrays.items():
            if _is_floating(array) and not np.isfinite(array).all():
                raise UserError(f"{key} has values that are NaN or infinite")
        return models.from_torch(name, arrays, num_classes)
    except UserError as error:
        raise type(error)(f"{path}: {error}") from error


def is_gone(path):
    """Whether there is no such file; not where `path` is "", none."""
    return bool(path) and not _checked_kind(path).is_file()


def digest(path):
    """SHA-256 of the content of a file of weights, hex digits; None where there is no file.

    Raises:
        UserError: another kind of file.
    """
    if is_gone(path):
        return None
    with _checked_kind(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checked_kind(path):
    path = pathlib.Path(path).expanduser()
    if path.suffix in (".pt", ".pth", ".bin", ".pkl", ".ckpt"):
        raise UserError(
            f"{path} may hold Python code and is not opened; in PyTorch, safetensors.torch.save_file("
            'model.state_dict(), "weights.safetensors") makes a file that can be read here'
        )
    if path.suffix not in (".safetensors", ".npz"):
        raise UserError(f"{path} is neither a .safetensors nor a .npz file")
    return path


def _in_numpys_types(array):
    return array.astype(np.float32) if array.dtype.kind == "V" and _is_floating(array) else array


def _is_floating(array):
    """Whether an array has real numbers, those of ml_dtypes too, such as bfloat16."""
    import jax.numpy as jnp

    return jnp.issubdtype(array.dtype, jnp.floating)


def _array(file, name):
    """A tensor; NumPy itself has no bfloat16, which JAX brings."""
    if file.get_slice(name).get_dtype() == "BF16":
        import ml_dtypes  # noqa: F401  Gives NumPy the type's name.
    return file.get_tensor(name)
