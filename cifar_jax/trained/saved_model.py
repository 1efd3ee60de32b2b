"""An exported JAX function as a TensorFlow SavedModel. TensorFlow is imported only when asked for."""

import contextlib
import os
import pathlib
import shutil

from cifar_jax.errors import UserError
from cifar_jax.machine import files


def tensorflow():
    """Return TensorFlow's module; see tfds.tensorflow."""
    from cifar_jax.data import tfds

    return tfds.tensorflow("--savedmodel", "leave --savedmodel away")


@contextlib.contextmanager
def new_folder(folder):
    """Make a folder to write into, which becomes `folder` at the end, and is removed if anything is raised.

    Raises:
        UserError: there is something of that name already, or it can't be written.
    """
    folder = pathlib.Path(os.path.expanduser(folder))
    if os.path.lexists(folder):
        raise UserError(f"--savedmodel {folder} is there already; choose another folder")
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
    try:
        with files.refusals(folder):
            partial.mkdir()
        yield partial
        with files.refusals(folder):
            partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write(folder, exported):
    """Write a SavedModel: signature `serving_default`, `images` -> {"probabilities"}.

    TensorFlow calls the program as it is, by the operation that jax2tf uses, so that nothing is traced again and
    both files hold the same.

    Args:
        folder: path.
        exported: jax.export.Exported of uint8 [B, H, W, C] -> float32 [B, num_classes]; B is a number, or a symbol.
    """
    tf = tensorflow()
    try:
        from tensorflow.compiler.tf2xla.python import xla  # tf.raw_ops does not have it
    except ImportError as error:
        raise UserError(
            f"TensorFlow {tf.__version__} can't call a program of XLA; install TensorFlow 2.21, or leave "
            "--savedmodel away"
        ) from error
    (images,), (probabilities,) = (
        map(_shape, each) for each in (exported.in_avals, exported.out_avals)
    )

    def classify(images):
        (answers,) = xla.call_module(
            [images],
            version=exported.calling_convention_version,
            module=exported.mlir_module_serialized,
            Sout=[probabilities],
            Tout=[tf.float32],
            platforms=[platform.upper() for platform in exported.platforms],
        )
        return {"probabilities": answers}

    module = tf.Module()
    signature = [tf.TensorSpec(images, tf.uint8, name="images")]
    module.classify = tf.function(classify, input_signature=signature, autograph=False)
    try:
        tf.saved_model.save(module, os.fspath(folder), {"serving_default": module.classify})
    except tf.errors.OpError as error:  # such as a full disk
        raise UserError(f"can't write the SavedModel ({error.message})") from error


def _shape(aval):
    """Return the shape in TensorFlow's words: None for a symbol."""
    return [size if isinstance(size, int) else None for size in aval.shape]


def how_to_load(folder, images):
    """Return the lines of Python that load a folder, with the expression `images` for the images there."""
    return (
        "import numpy as np, tensorflow as tf\n"
        f"model = tf.saved_model.load({str(folder)!r})\n"
        f"images = {images}\n"
        "classify = model.signatures['serving_default']\n"
        "probabilities = classify(images=tf.constant(images))['probabilities'].numpy()"
    )
