"""The cache is believed only when it is whole."""

import json

import numpy as np
import pytest

from cifar_jax.data import cache
from cifar_jax.errors import DataError

FACTS = {"name": "mnist", "class_names": ["a", "b"], "source": {}}


def examples(count=3, label=1):
    images = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return {split: (count, ((image, label) for image in images)) for split in ("train", "test")}


def test_round_trip(tmp_path):
    folder = cache.write(tmp_path / "new", FACTS, examples())
    content = cache.read_manifest(folder)
    assert content["name"] == "mnist"
    images, labels = cache.read_split(folder, content, "train")
    expected = np.stack([image for image, _ in examples()["train"][1]])
    np.testing.assert_array_equal(images, expected)
    assert labels.tolist() == [1, 1, 1]
    assert (images.dtype, labels.dtype) == (np.uint8, np.int32)
    assert isinstance(images, np.memmap) and not images.flags.writeable


def test_fingerprint_is_of_the_content(tmp_path):
    def fingerprint(number, **changes):
        folder = cache.write(tmp_path / str(number), FACTS, examples(**changes))
        return cache.read_manifest(folder)["fingerprint"]

    assert fingerprint(0) == fingerprint(1)
    assert len({fingerprint(2), fingerprint(3, label=0), fingerprint(4, count=2)}) == 3


@pytest.mark.parametrize("changes", [{"label": 2}, {"label": -1}])
def test_refuses_labels_out_of_range(tmp_path, changes):
    with pytest.raises(DataError, match="labels below 2"):
        cache.write(tmp_path, FACTS, examples(**changes))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("count", [2, 4])
def test_refuses_another_count(tmp_path, count):
    wrong = {split: (count, pair[1]) for split, pair in examples().items()}
    with pytest.raises(DataError, match=f"does not hold {count} examples"):
        cache.write(tmp_path, FACTS, wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_interrupted_write_leaves_the_old_cache(tmp_path, snapshot, error):
    folder = cache.write(tmp_path, FACTS, examples())
    before = snapshot(tmp_path), (folder / "manifest.json").read_text()

    def interrupted():
        yield np.zeros((32, 32, 3), np.uint8), 0
        raise error

    with pytest.raises((KeyboardInterrupt, DataError), match="No space left|^$"):
        cache.write(tmp_path, FACTS, {**examples(), "test": (3, interrupted())})
    assert (snapshot(tmp_path), (folder / "manifest.json").read_text()) == before
    cache.read_manifest(folder)


def test_replaces_a_cache(tmp_path):
    cache.write(tmp_path, FACTS, examples())
    folder = cache.write(tmp_path, FACTS, examples(count=5))
    assert cache.read_manifest(folder)["arrays"]["test"]["images"]["shape"][0] == 5
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def flip_byte(position):
    def damage(path):
        data = bytearray(path.read_bytes())
        data[position] ^= 1
        path.write_bytes(data)

    return damage


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def change_fact(path):
    path.write_text(path.read_text().replace("mnist", "MNIST"))


def other_format(path):
    manifest = json.loads(path.read_text())
    manifest["content"]["format"] = 99
    manifest["sha256"] = cache._content_digest(manifest["content"])
    path.write_text(json.dumps(manifest))


DAMAGES = [
    ("train_images.npy", flip_byte(-1)),
    ("train_images.npy", flip_byte(60)),
    ("train_images.npy", truncate),
    ("train_images.npy", lambda path: path.unlink()),
    ("train_images.npy", lambda path: path.write_bytes(b"")),
    ("train_labels.npy", flip_byte(-1)),
    ("train_labels.npy", lambda path: np.save(path, np.zeros(3, np.int64))),
    ("manifest.json", lambda path: path.write_text("{")),
    ("manifest.json", lambda path: path.write_text("[]")),
    ("manifest.json", lambda path: path.write_bytes(b"\xff\xfe")),
    ("manifest.json", lambda path: path.unlink()),
    ("manifest.json", change_fact),
    ("manifest.json", other_format),
]


@pytest.mark.parametrize("name, damage", DAMAGES)
def test_damage_is_seen(tmp_path, name, damage):
    folder = cache.write(tmp_path, FACTS, examples())
    damage(folder / name)
    with pytest.raises(cache.Damaged):
        cache.read_split(folder, cache.read_manifest(folder), "train")
