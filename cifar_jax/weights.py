"""Weights of a model between files, and out of a run:

  python -m cifar_jax.weights --model resnet18 --source kuangliu.safetensors --target resnet18.npz
  python -m cifar_jax.weights --workdir runs/resnet18 --target resnet18.safetensors --names torchvision

The source is a PyTorch state dict saved as .safetensors or .npz, in our names, kuangliu/pytorch-cifar's or
torchvision's; it is checked against the model, entry by entry. A .pt file holds arbitrary Python code; in
PyTorch, `safetensors.torch.save_file(model.state_dict(), "weights.safetensors")` makes one that does not.
To train from the weights: python -m cifar_jax.main ... --config.model.weights=weights.safetensors
"""

import hashlib
import pathlib
import sys
import zipfile

import numpy as np

from cifar_jax import command_line, files
from cifar_jax.errors import UserError


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


def from_run(workdir, which="best"):
    """The model's name and variables of a checkpoint of a run.

    Args:
        workdir: folder of the run.
        which: "best", "last" or a step.
    Raises:
        UserError: no such run or checkpoint, or a damaged one.
    """
    from cifar_jax import reading

    variables, about, _ = reading.read_run(workdir, which)
    return about["config"]["model"]["name"], variables


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


@command_line.guarded
def main(argv=None):
    """Runs a command line and returns its exit code."""
    parser = command_line.make_parser("weights", __doc__)
    parser.add_argument("--model", metavar="NAME", help="of the source; see cifar_jax.summary")
    parser.add_argument("--source", metavar="FILE", help=".safetensors or .npz")
    parser.add_argument("--num_classes", type=int, metavar="N", help="of the source's last layer")
    parser.add_argument("--workdir", metavar="FOLDER", help="a run instead of model and source")
    parser.add_argument(
        "--checkpoint", metavar="WHICH", default="best", help="of the run: best, last or a step"
    )
    parser.add_argument("--target", metavar="FILE", required=True, help=".safetensors or .npz")
    parser.add_argument(
        "--names",
        help="of the target: cifar_jax, kuangliu or torchvision, where the model has such",
    )
    arguments = parser.parse_args(argv)
    from cifar_jax import models

    name = arguments.model
    if arguments.workdir and not (name or arguments.source):
        name, variables = from_run(arguments.workdir, arguments.checkpoint)
    elif name and arguments.source and not arguments.workdir:
        variables = load(arguments.source, name, arguments.num_classes)
    else:
        raise UserError("give --model and --source, or --workdir")
    arrays = models.to_torch(name, variables, arguments.names)
    write(arguments.target, arrays)
    count = sum(array.size for array in arrays.values())
    print(f"{arguments.target}: {len(arrays)} arrays, {count:,} numbers")


if __name__ == "__main__":
    sys.exit(main())
