"""A folder of class folders as a data set: what is taken, how it is divided, when it is decoded again."""

import errno
import io
import os
import shutil

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from cifar_jax import data, train
from cifar_jax.data import from_folders
from cifar_jax.errors import ConfigError, DataError

CLASSES = ("cat", "dog", "eel")


def picture(path, seed, suffix=".png"):
    """Write a picture of noise, of any size."""
    random = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    size = random.integers(8, 40, 2)
    Image.fromarray(random.integers(0, 256, (*size, 3), dtype=np.uint8)).save(
        path.with_suffix(suffix)
    )


def fill(root, count, first=0):
    """`count` pictures of each class."""
    for label, name in enumerate(CLASSES):
        for n in range(count):
            picture(root / name / f"{n}", first + 1000 * label + n)
    return root


def load(root, tmp_path, lines=None, **options):
    log = (lambda line: None) if lines is None else lines.append
    return data.load("folder", tmp_path / "data", "", log, path=str(root), **options)


def rows(images):
    return {image.tobytes() for image in images}


def test_a_fifth_of_each_class_is_the_test_set(tmp_path):
    root, lines = fill(tmp_path / "pets", 10), []
    dataset = load(root, tmp_path, lines)
    assert dataset.class_names == CLASSES and dataset.sizes == {"train": 24, "test": 6}
    for split, each in (("train", 8), ("test", 2)):
        images, labels = dataset.split(split)
        assert images.shape == (3 * each, 32, 32, 3) and images.dtype == np.uint8
        np.testing.assert_array_equal(np.bincount(labels), [each] * 3)
    assert any(line.startswith("Decoding 30 pictures in 3 classes") for line in lines)
    with Image.open(root / "cat/3.png") as image:
        small = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR))
    both = rows(dataset.split("train")[0]) | rows(dataset.split("test")[0])
    assert len(both) == 30 and small.tobytes() in both


def test_it_is_decoded_once_and_is_the_same_under_another_name(tmp_path):
    root, lines = fill(tmp_path / "pets", 5), []
    first = load(root, tmp_path)
    again = load(root, tmp_path, lines)
    assert not lines and again.fingerprint == first.fingerprint
    shutil.copytree(root, tmp_path / "copy")
    assert load(tmp_path / "copy", tmp_path).fingerprint == first.fingerprint


def test_each_size_has_its_cache(tmp_path):
    root, lines = fill(tmp_path / "pets", 5), []
    small, large = load(root, tmp_path), load(root, tmp_path, size=48)
    assert large.split("test")[0].shape == (3, 48, 48, 3)
    assert load(root, tmp_path, lines).fingerprint == small.fingerprint != large.fingerprint
    assert not lines


def test_a_changed_folder_is_noticed_and_named(tmp_path):
    root, lines = fill(tmp_path / "pets", 5), []
    before = load(root, tmp_path)
    picture(root / "cat" / "new", 77)
    (root / "dog" / "1.png").unlink()
    picture(root / "eel" / "2", 78)
    os.utime(root / "eel" / "2.png", ns=(1, 1))
    after = load(root, tmp_path, lines)
    assert f"{root} has changed (1 new, 1 gone, 1 changed)." in lines
    assert after.fingerprint != before.fingerprint and sum(after.sizes.values()) == 15
    # Whoever trained on what was there goes on with that.
    of_run = load(root, tmp_path, lines := [], fingerprint=before.fingerprint)
    np.testing.assert_array_equal(of_run.split("train")[0], before.split("train")[0])
    assert not lines and of_run.fingerprint == before.fingerprint


def test_a_folder_that_is_gone_is_not_asked_for_again(tmp_path):
    root, lines = fill(tmp_path / "pets", 5), []
    before = load(root, tmp_path)
    shutil.rmtree(root)
    after = load(root, tmp_path, lines)
    assert after.fingerprint == before.fingerprint and "is gone" in lines[0]
    np.testing.assert_array_equal(after.split("test")[0], before.split("test")[0])


def test_a_damaged_cache_is_built_again(tmp_path):
    root, lines = fill(tmp_path / "pets", 5), []
    before = load(root, tmp_path)
    (file,) = (tmp_path / "data").rglob("train_images.npy")
    damaged = bytearray(file.read_bytes())
    damaged[-1] ^= 1
    file.write_bytes(damaged)
    dataset = load(root, tmp_path, lines)
    assert rows(dataset.split("train")[0]) == rows(before.split("train")[0])
    assert "damaged" in lines[0]


def test_a_disk_that_fills_while_decoding_leaves_nothing(tmp_path, monkeypatch):
    def full(files, size, pictures):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(from_folders, "_read_all", full)
    with pytest.raises(DataError, match="No space left on device. Free some space there"):
        load(fill(tmp_path / "pets", 5), tmp_path)
    assert not [each for each in (tmp_path / "data").rglob("*") if each.is_file()]


def test_copies_are_on_one_side(tmp_path):
    """Also of another class; and the division for validation does not separate them either."""
    root, lines = fill(tmp_path / "pets", 10), []
    for n in range(8):
        shutil.copy(root / "cat" / f"{n}.png", root / "cat" / f"copy_{n}.png")
        shutil.copy(root / "dog" / f"{n}.png", root / "eel" / f"copy_{n}.png")
    dataset = load(root, tmp_path, lines)
    train_images, labels = dataset.split("train")
    assert not rows(train_images) & rows(dataset.split("test")[0])
    assert any(line.startswith("16 of 46 pictures are copies") for line in lines)
    assert len(dataset.groups) > 8
    for seed in range(5):
        first, second = dataset.divide(labels, 0.3, seed)
        assert len(second) and not rows(train_images[first]) & rows(train_images[second])
        assert sorted([*first, *second]) == list(range(len(labels)))


def test_the_users_own_division_is_kept(tmp_path):
    root, lines = tmp_path / "pets", []
    for n, (part, count) in enumerate({"train": 6, "val": 2, "test": 3}.items()):
        fill(root / part, count, first=10_000 * n)
    shutil.rmtree(root / "test" / "eel")  # a class that is not tested
    shutil.copy(root / "train/cat/0.png", root / "test/cat/copy.png")
    dataset = load(root, tmp_path, lines)
    images, labels = dataset.split("train")
    assert dataset.sizes == {"train": 24, "test": 7} and dataset.held_out == 6
    first, second = dataset.divide(labels, 0.1, 0)
    np.testing.assert_array_equal(second, np.arange(18, 24))
    np.testing.assert_array_equal(np.bincount(labels[second]), [2, 2, 2])
    assert [len(each) for each in dataset.divide(labels, 0, 0)] == [18, 0]
    assert "1 of 7 pictures in test are in train too." in lines
    fill(tmp_path / "alone" / "train", 10)
    assert load(tmp_path / "alone", tmp_path).sizes == {"train": 24, "test": 6}


def test_what_is_passed_over(tmp_path):
    root, lines = fill(tmp_path / "pets", 5), []
    picture(root / "cat" / "deep" / "er" / "one", 5)
    picture(root / ".hidden" / "one", 6)
    picture(root / "cat" / ".thumb", 7)
    picture(tmp_path / "elsewhere" / "one", 8)
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "cat" / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "dog" / "Thumbs.db").write_bytes(b"no picture")
    (root / "notes.txt").write_text("of the photographer")
    dataset = load(root, tmp_path, lines)
    assert dataset.class_names == CLASSES and sum(dataset.sizes.values()) == 16
    assert f"{root}: 4 left out (2 links to folders, 1 .db, 1 hidden)" in lines


def test_files_that_are_no_pictures_are_listed(tmp_path):
    root, lines = fill(tmp_path / "pets", 10), []
    bad = root / "cat" / "bad.jpg"
    bad.write_bytes(b"no picture")
    with pytest.raises(
        DataError, match=r"1 of 31 files .* more than the share of dataset.max_unreadable, 0.01"
    ):
        load(root, tmp_path)
    assert not list((tmp_path / "data").rglob("*.npy"))
    dataset = load(root, tmp_path, lines, max_unreadable=0.1)
    assert sum(dataset.sizes.values()) == 30
    (listed,) = (tmp_path / "data").rglob(from_folders.UNREADABLE)
    assert str(bad) in listed.read_text() and str(listed) in lines[-1]
    images, labels = dataset.split("train")
    assert len(images) == len(labels) == dataset.sizes["train"]
    with pytest.raises(DataError, match="max_unreadable"):  # from the cache, too
        load(root, tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_links_to_nothing_and_pipes_are_no_pictures(tmp_path):
    root = fill(tmp_path / "pets", 10)
    (root / "cat" / "link.jpg").symlink_to(tmp_path / "nothing")
    os.mkfifo(root / "dog" / "pipe.jpg")
    dataset = load(root, tmp_path, max_unreadable=0.1)
    assert sum(dataset.sizes.values()) == 30


def no_such(root):
    pass


def a_file(root):
    root.write_text("no folder")


def one_class(root):
    picture(root / "cat" / "one", 0)


def an_empty_class(root):
    fill(root, 3)
    (root / "fox").mkdir()


def in_test_only(root):
    fill(root / "train", 3)
    picture(root / "test" / "fox" / "one", 0)


def too_few(root):
    fill(root, 1)


def parts_of_other_names(root):
    fill(root / "Train", 3)
    fill(root / "Test", 3)


def classes_beside_train(root):
    fill(root, 3)
    fill(root / "train", 3)


def a_part_of_loose_pictures(root):
    fill(root / "train", 3)
    picture(root / "test" / "one", 0)


def links_only(root):
    fill(root.parent / "others", 3)
    root.mkdir()
    for name in CLASSES:
        (root / name).symlink_to(root.parent / "others" / name)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (no_such, "there is no such folder"),
        (a_file, "is a file, not a folder"),
        (one_class, "1 class folder"),
        (an_empty_class, "without pictures: fox"),
        (in_test_only, "classes that train has not: fox"),
        (too_few, "none is left for 'test'"),
        (parts_of_other_names, "Test has folders of its own: parts are called train, val and test"),
        (classes_beside_train, "has cat, dog, eel beside train"),
        (a_part_of_loose_pictures, "test has no pictures in class folders"),
        (links_only, "0 class folders and 3 links to folders, which are not followed"),
    ],
)
def test_one_clear_message(tmp_path, make, said):
    root = tmp_path / "pets"
    make(root)
    with pytest.raises(DataError, match=said):
        load(root, tmp_path)
    assert not list(tmp_path.rglob("*.npy"))


def test_path_and_name_go_together(quick_config):
    from cifar_jax import config

    for name, path in (("folder", ""), ("digits", "somewhere")):
        quick_config.dataset.name, quick_config.dataset.path = name, path
        with pytest.raises(ConfigError, match="dataset.path"):
            config.check(quick_config)


def test_a_folder_is_named():
    with pytest.raises(DataError, match="give dataset.path"):
        data.load("folder")


def test_the_cache_does_not_lie_in_the_folder(tmp_path):
    root = fill(tmp_path / "pets", 5)
    with pytest.raises(DataError, match="give another, dataset.data_dir"):
        data.load("folder", str(root), "", print, path=str(root))


def test_a_class_may_be_called_as_a_part_is(tmp_path):
    root = fill(tmp_path / "pets", 5)
    (root / "cat").rename(root / "train")
    assert load(root, tmp_path).class_names == ("dog", "eel", "train")


@pytest.mark.thorough
def test_a_run_on_a_folder_goes_on_when_the_folder_is_gone(small_config, tmp_path):
    root = fill(tmp_path / "pets", 12)
    small_config.dataset.update(
        {"name": "folder", "path": str(root), "data_dir": str(tmp_path / "data")}
    )
    small_config.update({"batch_size": 8, "total_epochs": 1})
    small_config.dataset.validation_fraction = 0.25

    def run(name):
        return train.train_and_evaluate(small_config, tmp_path / name, Console(file=io.StringIO()))

    summary = run("run")
    picture(root / "cat" / "new", 1)
    assert run("run")["params_sha256"] == summary["params_sha256"]  # goes on with what it had
    (root / "cat" / "new.png").unlink()
    shutil.rmtree(root)
    assert run("again")["params_sha256"] == summary["params_sha256"]
