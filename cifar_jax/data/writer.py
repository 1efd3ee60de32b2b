"""Write an archive's records as the TFDS set that TFDS itself would have prepared."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

from cifar_jax.data.archive import Records
from cifar_jax.data.tfds import tidied


def write(records: Records, root: Path) -> Path:
    """Prepare cifar10 or cifar100 under `root` with TFDS's own builder, in ArrayRecord files.

    Only the source of the examples is replaced: names, features, version, keys and so the shuffled
    order are TFDS's, which shuffles by a hash of the key, the same everywhere. Images are encoded
    by Pillow, because TFDS would start TensorFlow for it; PNG is lossless, so the pixels are equal.

    Returns:
      The prepared folder, <root>/<name>/<version>.
    """
    import tensorflow_datasets as tfds

    parent = tfds.builder_cls(records.name)

    class FromRecords(parent, skip_registration=True):
        name = records.name
        # TFDS notes the module in the set and looks for a builder's data beside it.
        __module__ = parent.__module__

        def _split_generators(self, dl_manager):
            del dl_manager  # Nothing is downloaded.
            for key, names in records.label_names.items():
                self.info.features[key].names = names
            return {split: _examples(records, split) for split in records.splits}

    # TFDS would announce a download on one stream and draw progress bars on the other.
    silence = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    with silence[0], silence[1], tidied():
        builder = FromRecords(data_dir=os.fspath(root))
        builder.download_and_prepare(file_format="array_record")
    return Path(builder.data_dir)


def _examples(records: Records, split: str):
    """(key, example) pairs with the keys and ids of TFDS's CIFAR builder."""
    labels, pixels = records.splits[split]
    for index, image in enumerate(pixels):
        example = {key: int(values[index]) for key, values in labels.items()}
        yield index, {**example, "id": f"{split}_{index:05d}", "image": _png(image)}


def _png(image) -> io.BytesIO:
    """uint8 [H, W, 3] as a PNG file."""
    from PIL import Image

    file = io.BytesIO()
    # The fastest level: 32 x 32 photographs hardly get smaller with more effort.
    Image.fromarray(image).save(file, format="png", compress_level=1)
    file.seek(0)
    return file
