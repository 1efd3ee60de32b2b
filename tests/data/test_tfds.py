"""Named TFDS sets: the right ones open, the wrong ones say why, all formats read the same."""

import pytest

from cifar_jax.data import load, network
from cifar_jax.data import tfds as module
from cifar_jax.errors import DataError

tfds = pytest.importorskip("tensorflow_datasets")


def ignore(line):
    pass


@pytest.mark.parametrize(
    "name, match",
    [
        ("cifr10", "no data set named 'cifr10'. Nearest names: cifar10"),
        ("didgits", "Nearest names: digits"),
        ("qqqqqq", "Nearest names: cifar10, cifar100"),
        ("../cifar10", "cannot open '../cifar10'"),
        ("cifar10:9.9.9", "only: 3.0.2"),
        ("glue", "does not name one input and one label"),
        ("imagenet2012", "vary in size"),
        ("ag_news_subset", "is not an image"),
        ("div2k", "not an image-classification set"),
    ],
)
def test_wrong_names_and_kinds(tmp_path, name, match):
    with pytest.raises(DataError, match=match):
        load(name, tmp_path / "data", log=ignore)
    assert not (tmp_path / "data").exists()


def test_a_download_that_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(network, "unreachable", lambda urls: {})
    monkeypatch.setattr(module, "tensorflow", lambda *_: None)

    def fail(self, **kwargs):
        raise RuntimeError("connection reset\nby peer")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    with pytest.raises(DataError, match=r"could not be downloaded \(connection reset\)"):
        load("cifar10", tmp_path / "data", log=ignore)


def test_a_prepared_set_that_is_damaged(prepared):
    import shutil

    home = prepared / "cifar10/3.0.2"
    shutil.rmtree(home / "cifar_jax_cache")
    record = next(home.glob("*train.array_record*"))
    record.write_bytes(record.read_bytes()[:100])
    with pytest.raises(DataError, match="Remove that folder"):
        load("cifar10", prepared, log=ignore)
    (home / "dataset_info.json").write_text("{")
    with pytest.raises(DataError, match="Remove that folder"):
        load("cifar10", prepared, log=ignore)
    assert not (home / "cifar_jax_cache").exists()


@pytest.fixture
def local(archives, tmp_path, monkeypatch):
    """TFDS's own builder and download code, with an extracted archive instead of the network."""
    folder = tmp_path / "extracted"
    archives.extract(folder, "cifar10-binary", archives.files("cifar10-binary"))

    class Manager:
        downloaded_size = 0

        def download_and_extract(self, url):
            return folder

    monkeypatch.setattr(network, "unreachable", lambda urls: {})
    monkeypatch.setattr(
        tfds.core.DatasetBuilder, "_make_download_manager", lambda self, **_: Manager()
    )


@pytest.mark.thorough
@pytest.mark.parametrize("file_format", ["array_record", "tfrecord"])
def test_equals_what_tfds_itself_prepares(tmp_path, local, prepared_once, file_format):
    """Same examples in the same order, whichever way they were written and are read."""
    pytest.importorskip("tensorflow")
    if file_format == "tfrecord":
        tfds.builder("cifar10", data_dir=tmp_path / "data").download_and_prepare()
    theirs = load("cifar10", tmp_path / "data", log=ignore)
    ours = load("cifar10", prepared_once, log=ignore)
    assert theirs == ours
    assert theirs.fingerprint == ours.fingerprint


@pytest.mark.thorough
def test_a_download_replaces_a_cache_left_alone(prepared, local):
    pytest.importorskip("tensorflow")
    home = prepared / "cifar10/3.0.2"
    before = load("cifar10", prepared, log=ignore)
    for path in home.iterdir():
        if path.is_file():
            path.unlink()
    (home / "cifar_jax_cache/manifest.json").write_text("{")
    assert load("cifar10", prepared, log=ignore) == before


def test_a_download_does_not_touch_other_files(tmp_path, local):
    (tmp_path / "cifar10/3.0.2/mine").mkdir(parents=True)
    with pytest.raises(DataError, match="3.0.2 exists but holds no complete TFDS set"):
        load("cifar10", tmp_path, log=ignore)


class TinyGrey(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """28 x 28 grey images, like MNIST, with splits chosen by a test."""

    VERSION = tfds.core.Version("1.0.0")
    splits = ("train", "test")

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(28, 28, 1)),
                    "label": tfds.features.ClassLabel(names=["dark", "light"]),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples() for split in self.splits}

    def _generate_examples(self):
        import io

        import numpy as np
        from PIL import Image

        for index in range(6):
            file = io.BytesIO()
            image = np.full((28, 28), 200 * (index % 2), np.uint8)
            Image.fromarray(image).save(file, format="png")
            file.seek(0)
            yield index, {"image": file, "label": index % 2}


def test_grey_images_of_another_size(tmp_path):
    TinyGrey(data_dir=tmp_path).download_and_prepare(file_format="array_record")
    dataset = load("tiny_grey", tmp_path, log=ignore)
    images, labels = dataset.split("train")
    assert images.shape == (6, 32, 32, 3)
    assert (images == 200 * labels[:, None, None, None]).all()
    assert dataset.class_names == ("dark", "light")
    assert dataset.mean == pytest.approx((100 / 255,) * 3)
    assert dataset.std == pytest.approx((100 / 255,) * 3)


def test_no_test_split(tmp_path, monkeypatch):
    monkeypatch.setattr(TinyGrey, "splits", ("train", "extra"))
    TinyGrey(data_dir=tmp_path).download_and_prepare(file_format="array_record")
    with pytest.raises(DataError, match="no split 'test', only extra, train"):
        load("tiny_grey", tmp_path, log=ignore)
    assert not list(tmp_path.rglob("cifar_jax_cache"))
