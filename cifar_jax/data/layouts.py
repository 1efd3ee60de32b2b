"""The four layouts in which CIFAR is published: https://www.cs.toronto.edu/~kriz/cifar.html"""

import dataclasses

# SHA-256 of the archives that TFDS itself downloads, cifar-10-binary.tar.gz and so on.
TFDS_SHA256 = {
    "cifar10": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    "cifar100": "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
}
# Examples of an official archive.
TOTALS = {"train": 50000, "test": 10000}


@dataclasses.dataclass(frozen=True)
class Layout:
    """The layout of one archive.

    name: the TFDS name of its data set.
    folder: the folder it extracts to.
    batches: {split: files}, in the official order.
    label_keys: the labels of an example, in the order of the binary files.
    label_counts: how many classes each of them has.
    names: {label key: (file, key in that file's pickle, or "" for a text file)}.
    pickled: whether the files are pickles.
    """

    name: str
    folder: str
    batches: dict
    label_keys: tuple
    label_counts: tuple
    names: dict
    pickled: bool

    @property
    def files(self) -> list[str]:
        named = [file for file, _ in self.names.values()]
        return list(dict.fromkeys([*self.batches["train"], *self.batches["test"], *named]))


def _cifar10(folder, suffix, names):
    return Layout(
        name="cifar10",
        folder=folder,
        batches={
            "train": tuple(f"data_batch_{n}{suffix}" for n in range(1, 6)),
            "test": (f"test_batch{suffix}",),
        },
        label_keys=("label",),
        label_counts=(10,),
        names={"label": names},
        pickled=not suffix,
    )


def _cifar100(folder, suffix, coarse, fine):
    return Layout(
        name="cifar100",
        folder=folder,
        batches={"train": (f"train{suffix}",), "test": (f"test{suffix}",)},
        label_keys=("coarse_label", "label"),
        label_counts=(20, 100),
        names={"coarse_label": coarse, "label": fine},
        pickled=not suffix,
    )


LAYOUTS = (
    _cifar10("cifar-10-batches-bin", ".bin", ("batches.meta.txt", "")),
    _cifar10("cifar-10-batches-py", "", ("batches.meta", "label_names")),
    _cifar100("cifar-100-binary", ".bin", ("coarse_label_names.txt", ""), ("fine_label_names.txt", "")),
    _cifar100("cifar-100-python", "", ("meta", "coarse_label_names"), ("meta", "fine_label_names")),
)  # fmt: skip
# The key of each label in a batch's pickle.
PICKLED_LABELS = {
    "cifar10": {"label": "labels"},
    "cifar100": {"coarse_label": "coarse_labels", "label": "fine_labels"},
}
