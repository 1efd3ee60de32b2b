"""Named TensorFlow Datasets: find the builder, check its kind, download it, read its examples.

Reading needs no TensorFlow: TFDS's data sources hand out the encoded images and Pillow decodes
them. TensorFlow is imported only where TFDS itself encodes a download, and is never shown a GPU.
"""

import contextlib
import difflib
import io
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cifar_jax.data import folders, images
from cifar_jax.errors import DataError

# The sets most people mean, offered where no name is near.
COMMON = ("cifar10", "cifar100", "svhn_cropped", "mnist", "fashion_mnist", "digits")


@contextlib.contextmanager
def tidied():
    """Remove what is put among temporary files within: TFDS leaves a folder there with each new builder."""
    usual = tempfile.tempdir
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        try:
            yield
        finally:
            tempfile.tempdir = usual


def builder(name: str, root: Path):
    """Open the TFDS builder of `name` with `root` as its data folder, checked by `keys`.

    Raises:
      DataError: if the name is unknown or the set is not of fixed-size images with one label.
    """
    import tensorflow_datasets as tfds

    try:
        with tidied():
            opened = tfds.builder(name, data_dir=os.fspath(root))
    except tfds.core.DatasetNotFoundError as error:
        known = [*tfds.list_builders(with_community_datasets=False), "digits"]
        near = difflib.get_close_matches(name, known, n=4) or COMMON
        raise DataError(
            f"There is no data set named '{name}'. Nearest names: {', '.join(near)}. "
            "Every image-classification set of TensorFlow Datasets can be named."
        ) from error
    except Exception as error:
        raise DataError(
            f"TensorFlow Datasets cannot open '{name}': {_first_line(error)}. Give a name such as "
            f"{', '.join(COMMON)}."
        ) from error
    keys(opened)
    return opened


def prepared(folder: Path):
    """Open the builder of a set that lies prepared in `folder`, <data_dir>/<name>/<version>.

    Raises:
      DataError: if it is damaged, or not of fixed-size images with one label.
    """
    import tensorflow_datasets as tfds

    try:
        opened = tfds.builder_from_directory(os.fspath(folder))
    except Exception as error:
        raise DataError(
            f"The prepared set in {folder} cannot be opened: {_first_line(error)}. "
            "Remove that folder and prepare the set again."
        ) from error
    keys(opened)
    return opened


def keys(builder) -> tuple[str, str]:
    """Return the names of the image and of the label in an example.

    Raises:
      DataError: if the set is not of fixed-size 8-bit images with one class label each.
    """
    for why in _unfit(builder.info):
        raise DataError(
            f"The data set '{builder.name}' is not an image-classification set of fixed-size images: "
            f"{why}. Sets that work: {', '.join(COMMON)}."
        )
    return tuple(builder.info.supervised_keys)


def _unfit(info) -> Iterator[str]:
    """Yield, the first that matters first, why a set is not of the kind that `keys` takes."""
    import tensorflow_datasets as tfds

    supervised = info.supervised_keys or ()
    if len(supervised) != 2 or not all(isinstance(key, str) for key in supervised):
        yield "it does not name one input and one label"
    image, label = (info.features[key] for key in supervised)
    if not isinstance(image, tfds.features.Image):
        yield f"its input '{supervised[0]}' is not an image"
    if not isinstance(label, tfds.features.ClassLabel) or not label.num_classes:
        yield f"its target '{supervised[1]}' is not a class label"
    if None in image.shape:
        yield f"its images vary in size {list(image.shape)}"
    if image.shape[-1] not in (1, 3) or image.np_dtype != np.uint8:
        yield f"its images are {list(image.shape)} of {image.np_dtype}"


def class_names(builder) -> tuple[str, ...]:
    """Return the label names in the order of their numbers."""
    return tuple(builder.info.features[keys(builder)[1]].names)


def examples(builder, split: str, size=images.SIZE) -> tuple[int, Iterator[tuple[np.ndarray, int]]]:
    """Return the examples of a prepared set, in the order in which they lie on disk.

    TFDS shuffles once, when it writes, by a hash of each example's key: the order is not that of
    the original files, but it is the same on every machine.

    Args:
      builder: a builder whose set is prepared, in ArrayRecord, Parquet or TFRecord files.
      split: "train" or "test".
      size: S.
    Returns:
      (count, iterator of (uint8 [S, S, 3], int label)).
    Raises:
      DataError: if the set has no such split, or its files are missing or damaged.
    """
    if split not in builder.info.splits:
        raise DataError(
            f"The data set '{builder.name}' has no split '{split}', only "
            f"{', '.join(sorted(builder.info.splits))}. Training needs 'train' and 'test'."
        )
    return builder.info.splits[split].num_examples, _decoded(builder, split, size)


def download(builder, log) -> None:
    """Let TFDS download and prepare its set, after asking whether the hosts answer at all.

    Raises:
      DataError: without network (within seconds), or if the download fails.
    """
    import tensorflow_datasets as tfds

    from cifar_jax.data import network  # whose urllib takes as long to import as all of this room

    urls = list(builder.url_infos or {})
    silent = network.unreachable(urls)
    if silent:
        reasons = "; ".join(f"{host}: {reason}" for host, reason in silent.items())
        raise DataError(how_to_get(builder.name, builder.data_dir_root, reasons))
    _clear(Path(builder.data_dir))
    log(f"Downloading and preparing '{builder.name}' in {builder.data_dir} (once).")
    tensorflow("preparing a download", "copy a set that is prepared elsewhere")
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    try:
        builder.download_and_prepare(download_config=config, file_format="array_record")
    except Exception as error:
        raise DataError(
            how_to_get(builder.name, builder.data_dir_root, _first_line(error))
        ) from error


def how_to_get(name: str, root: Path, reason: str) -> str:
    """Write the message for a set that is not on disk and cannot be downloaded."""
    archive = {"cifar10": "cifar-10-binary.tar.gz", "cifar100": "cifar-100-binary.tar.gz"}.get(name)
    ways = [
        f"with network: run the same command on a machine that can download it, then copy {root}",
        f"from a TFDS set prepared elsewhere, in DIR/{name}/<version>/: --config.dataset.data_dir=DIR in "
        "training, --data_dir DIR elsewhere, or TFDS_DATA_DIR=DIR for both",
    ]
    if archive:
        ways.insert(
            1,
            f"from the official archive: python -m cifar_jax.data.prepare --archive {archive}, "
            f"or --config.dataset.archive={archive} in training",
        )
    listed = "\n".join(f"  {number}. {way}" for number, way in enumerate(ways, 1))
    return (
        f"The data set '{name}' is not in {root} and could not be downloaded ({reason}).\n"
        f"Ways to get it:\n{listed}\n"
        "Without any of these, training on digits works offline (--config.dataset.name=digits)."
    )


def _decoded(builder, split, size) -> Iterator[tuple[np.ndarray, int]]:
    from PIL import Image

    image_key, label_key = keys(builder)
    try:
        for example in _encoded(builder, split, image_key):
            with Image.open(io.BytesIO(example[image_key])) as image:
                yield images.fit(image, size), int(example[label_key])
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            f"The prepared set in {builder.data_dir} cannot be read ({_first_line(error)}). "
            "Remove that folder and prepare the set again."
        ) from error


def _encoded(builder, split, image_key) -> Iterator[dict]:
    """Yield examples as dicts in which the image is still its PNG or JPEG bytes."""
    import tensorflow_datasets as tfds

    skip = {image_key: tfds.decode.SkipDecoding()}
    formats = {each.value for each in builder.info.available_file_formats()}
    if formats & {"array_record", "parquet"}:
        source = builder.as_data_source(split, decoders=skip)
        for start in range(0, len(source), 1024):
            yield from source.__getitems__(range(start, min(start + 1024, len(source))))
    elif "tfrecord" in formats:
        # What TFDS writes by default, so what most people have. Its own reader needs TensorFlow.
        for path in builder.info.splits[split].filepaths:
            for record in _tfrecords(path):
                yield builder.info.features.deserialize_example_np(record, decoders=skip)
    else:
        raise ValueError(f"its files are {', '.join(sorted(formats)) or 'of no known format'}")


def _tfrecords(path) -> Iterator[bytes]:
    """Yield the records of a TFRecord file: uint64 length, uint32 checksum, data, uint32 checksum."""
    with open(path, "rb") as file:
        while header := file.read(12):
            (length,) = struct.unpack("<Q4x", header)
            record = file.read(length)
            if len(record) != length or len(file.read(4)) != 4:
                raise ValueError(f"{path} is truncated")
            yield record


def _clear(version: Path) -> None:
    """Remove a cache left alone: TFDS takes any existing version folder for a prepared set."""
    for cache in version.glob(f"{folders.CACHE_NAME}*"):
        shutil.rmtree(cache, ignore_errors=True)
    with contextlib.suppress(OSError):
        version.rmdir()
    if version.exists():
        raise DataError(
            f"{version} exists but holds no complete TFDS set. Remove it and try again."
        )


def tensorflow(user: str, instead: str):
    """Return TensorFlow's module, kept away from GPUs, of which it would take all memory, that JAX needs.

    Args:
      user: what needs it.
      instead: what to do without it.
    Raises:
      DataError: it is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Of oneDNN it would tell a line, and nothing is computed here.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    try:
        import tensorflow as tf
    except ImportError as error:
        raise DataError(
            f"{user} needs TensorFlow; install it (pip install tensorflow-cpu), or {instead}"
        ) from error
    # A program that has already used TensorFlow's devices has made its own choice.
    with contextlib.suppress(RuntimeError):
        tf.config.set_visible_devices([], "GPU")
    return tf


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
