"""A JAX function as a TensorFlow SavedModel. TensorFlow is imported here only, and only when asked for."""

import contextlib
import os
import pathlib
import shutil

from cifar_jax.errors import UserError


def tensorflow():
    """The module, kept away from GPUs, all of whose memory it would take.

    Raises:
        UserError: it is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault(
        "TF_ENABLE_ONEDNN_OPTS", "0"
    )  # of which it would tell; nothing is computed here
    try:
        import tensorflow as tf
    except ImportError as error:
        raise UserError(
            "--savedmodel needs TensorFlow; install it (pip install tensorflow-cpu), or leave "
            "--savedmodel away"
        ) from error
    # A program that has already used TensorFlow's devices has made its own choice.
    with contextlib.suppress(RuntimeError):
        tf.config.set_visible_devices([], "GPU")
    return tf


@contextlib.contextmanager
def new_folder(folder):
    """A folder to write into, which becomes `folder` at the end; where anything is raised it is removed.

    Raises:
        UserError: there is something of that name already, or it can't be written.
    """
    folder = pathlib.Path(os.path.expanduser(folder))
    if os.path.lexists(folder):
        raise UserError(f"--savedmodel {folder} is there already; choose another folder")
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
    try:
        with _refusals(folder):
            partial.mkdir()
        yield partial
        with _refusals(folder):
            partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def _refusals(folder):
    try:
        yield
    except OSError as error:
        raise UserError(f"can't write {folder} ({error.strerror})") from error


def write(folder, function, image_shape, platforms):
    """Writes a SavedModel: signature `serving_default`, `images` -> {"probabilities"}.

    Args:
        folder: path.
        function: uint8 [B, H, W, C] -> float32 [B, num_classes], for any B.
        image_shape: [H, W, C].
        platforms: of jax.export.
    """
    tf = tensorflow()
    from jax.experimental import jax2tf

    converted = jax2tf.convert(
        function,
        polymorphic_shapes=[f"(b, {', '.join(map(str, image_shape))})"],
        with_gradient=False,
        native_serialization_platforms=platforms,
    )
    images = tf.TensorSpec([None, *image_shape], tf.uint8, name="images")
    module = tf.Module()
    module.classify = tf.function(
        lambda images: {"probabilities": converted(images)},
        input_signature=[images],
        autograph=False,
    )
    try:
        tf.saved_model.save(module, os.fspath(folder), {"serving_default": module.classify})
    except tf.errors.OpError as error:  # such as a full disk
        raise UserError(f"can't write the SavedModel ({error.message})") from error
