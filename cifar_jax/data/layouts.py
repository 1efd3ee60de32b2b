"""The four layouts in which CIFAR is published: https://www.cs.toronto.edu/~kriz/cifar.html"""

from __future__ import annotations

import dataclasses

# SHA-256 of the archives that TFDS itself downloads, cifar-10-binary.tar.gz and so on.
TFDS_SHA256 = {
    "cifar10": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    "cifar100": "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
}


@dataclasses.dataclass(frozen=True)
class Layout:
    """How one archive is laid out.

    name: the TFDS name of its data set.
    folder: the folder it extracts to.
    batches: {split: files}, in the official order.
    label_keys: the labels of an example, in the order of the binary files.
    label_counts: how many classes each of them has.
    names: {label key: (file, key in that file's pickle, or "" for a text file)}.
    totals: {split: examples} of the official archive.
    pickled: whether the files are pickles.
    """

    name: str
    folder: str
    batches: dict
    label_keys: tuple
    label_counts: tuple
    names: dict
    totals: dict
    pickled: bool

    @property
    def files(self) -> list[str]:
        named = [file for file, _ in self.names.values()]
        return list(dict.fromkeys([*self.batches["train"], *self.batches["test"], *named]))


_CIFAR10 = {
    "name": "cifar10",
    "label_keys": ("label",),
    "label_counts": (10,),
    "totals": {"train": 50000, "test": 10000},
}
_CIFAR100 = {
    "name": "cifar100",
    "label_keys": ("coarse_label", "label"),
    "label_counts": (20, 100),
    "totals": {"train": 50000, "test": 10000},
}
LAYOUTS = (
    Layout(
        folder="cifar-10-batches-bin",
        batches={
            "train": tuple(f"data_batch_{n}.bin" for n in range(1, 6)),
            "test": ("test_batch.bin",),
        },
        names={"label": ("batches.meta.txt", "")},
        pickled=False,
        **_CIFAR10,
    ),
    Layout(
        folder="cifar-10-batches-py",
        batches={
            "train": tuple(f"data_batch_{n}" for n in range(1, 6)),
            "test": ("test_batch",),
        },
        names={"label": ("batches.meta", "label_names")},
        pickled=True,
        **_CIFAR10,
    ),
    Layout(
        folder="cifar-100-binary",
        batches={"train": ("train.bin",), "test": ("test.bin",)},
        names={
            "coarse_label": ("coarse_label_names.txt", ""),
            "label": ("fine_label_names.txt", ""),
        },
        pickled=False,
        **_CIFAR100,
    ),
    Layout(
        folder="cifar-100-python",
        batches={"train": ("train",), "test": ("test",)},
        names={
            "coarse_label": ("meta", "coarse_label_names"),
            "label": ("meta", "fine_label_names"),
        },
        pickled=True,
        **_CIFAR100,
    ),
)
# The key of each label in a batch's pickle.
PICKLED_LABELS = {
    "cifar10": {"label": "labels"},
    "cifar100": {"coarse_label": "coarse_labels", "label": "fine_labels"},
}
