"""Archives: what is sound is read exactly, what is not is named."""

import io
import os
import pickle
import tarfile

import numpy as np
import pytest

from cifar_jax.data import archive
from cifar_jax.errors import DataError

FORMS = ["cifar10-binary", "cifar10-python", "cifar100-binary", "cifar100-python"]


def ignore(line):
    pass


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("way", ["packed", "folder", "parent"])
def test_reads_exactly(archives, tmp_path, form, way):
    files = archives.files(form)
    if way == "packed":
        path = archives.pack(tmp_path / "a.tar.gz", form, files)
    else:
        inner = archives.extract(tmp_path / "a", form, files)
        path = inner if way == "folder" else inner.parent
    records = archive.read(path, log=ignore)
    assert records.name == form.partition("-")[0]
    assert len(records.label_names["label"]) == {"cifar10": 10, "cifar100": 100}[records.name]
    for split in ("train", "test"):
        images, labels = archives.arrays(form, split)
        read_labels, read_images = records.splits[split]
        assert read_images.dtype == np.uint8
        np.testing.assert_array_equal(read_images, images)
        assert read_labels.keys() == labels.keys()
        for key in labels:
            np.testing.assert_array_equal(read_labels[key], labels[key])


@pytest.mark.parametrize("protocol", [2, 5])
def test_reads_every_pickle_protocol(archives, tmp_path, protocol):
    files = archives.files("cifar100-python", protocol=protocol)
    path = archives.pack(tmp_path / "a.tar.gz", "cifar100-python", files)
    images, _ = archives.arrays("cifar100-python", "train")
    np.testing.assert_array_equal(archive.read(path, log=ignore).splits["train"][1], images)


def test_says_where_counts_differ(archives, tmp_path):
    lines = []
    archive.read(archives.make(tmp_path / "a.tar.gz", "cifar10-binary"), log=lines.append)
    assert len(lines) == 2
    assert "20 train examples" in lines[0] and "50,000" in lines[0]


def test_two_sets_in_one_folder(archives, tmp_path):
    for form in ("cifar10-binary", "cifar100-binary"):
        archives.extract(tmp_path, form, archives.files(form))
    for name in ("cifar10", "cifar100"):
        assert archive.read(tmp_path, name, ignore).name == name


def spoil(archives, form, name, change):
    files = archives.files(form)
    content = change(files.pop(name))
    return files if content is None else {**files, name: content}


def set_label(value, key=b"labels"):
    def change(content):
        batch = pickle.loads(content)
        batch[key][1] = value
        return pickle.dumps(batch, 2)

    return change


def change_data(function):
    def change(content):
        batch = pickle.loads(content)
        return pickle.dumps({**batch, b"data": function(batch[b"data"])}, 2)

    return change


class Attack:
    def __reduce__(self):
        return os.system, ("touch /tmp/cifar_jax_was_attacked",)


BAD_FILES = [
    # form, file, change, what the message says
    ("cifar10-binary", "data_batch_3.bin", lambda data: data[:-1], "3073-byte records"),
    ("cifar100-binary", "train.bin", lambda data: data + b"x", "3074-byte records"),
    ("cifar10-binary", "test_batch.bin", lambda data: b"", "3073-byte records"),
    ("cifar10-binary", "data_batch_2.bin", lambda data: b"\x0a" + data[1:], "label 10.*0..9"),
    ("cifar100-binary", "test.bin", lambda data: b"\x14" + data[1:], "coarse_label 20.*0..19"),
    ("cifar100-binary", "test.bin", lambda data: b"\0\x64" + data[2:], "label 100.*0..99"),
    ("cifar10-python", "data_batch_1", set_label(10), "label 10"),
    ("cifar10-python", "data_batch_1", set_label(-1), "label -1"),
    ("cifar10-python", "data_batch_1", set_label(10**30), "label 1000"),
    ("cifar10-python", "data_batch_1", set_label("cat"), "not integers"),
    ("cifar100-python", "train", set_label(300, b"fine_labels"), "label 300"),
    ("cifar10-python", "test_batch", change_data(lambda x: x[:, :-1]), r"shape \[4, 3071\]"),
    ("cifar10-python", "test_batch", change_data(lambda x: x[:-1]), "3 'labels'"),
    ("cifar10-python", "test_batch", change_data(lambda x: x.astype(np.int64)), "uint8 array"),
    ("cifar10-python", "test_batch", change_data(lambda x: Attack()), "system.*refused"),
    ("cifar10-python", "test_batch", lambda data: data[:100], "not a readable pickle"),
    ("cifar10-binary", "batches.meta.txt", lambda data: b"cat\ndog\n", "2 class names, not 10"),
    ("cifar10-python", "batches.meta", lambda data: pickle.dumps({}), "0 class names, not 10"),
    ("cifar10-binary", "data_batch_4.bin", lambda data: None, "has no"),
    ("cifar10-binary", "batches.meta.txt", lambda data: None, "has no"),
    ("cifar100-python", "meta", lambda data: None, "has no"),
]


@pytest.mark.parametrize("form, name, change, message", BAD_FILES)
@pytest.mark.parametrize("packed", [True, False])
def test_names_the_bad_file(archives, tmp_path, form, name, change, message, packed):
    files = spoil(archives, form, name, change)
    if packed:
        path = archives.pack(tmp_path / "a.tar.gz", form, files)
    else:
        path = archives.extract(tmp_path / "a", form, files)
    with pytest.raises(DataError, match=f"(?s){name}.*{message}|{message}.*{name}"):
        archive.read(path, log=ignore)
    assert not os.path.exists("/tmp/cifar_jax_was_attacked")


@pytest.mark.parametrize("keep", [1, 20, 500, 0.5, 0.99])
def test_truncated(archives, tmp_path, keep):
    path = archives.make(tmp_path / "a.tar.gz", "cifar10-binary")
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if keep < 1 else keep])
    expected = "not a .tar.gz" if keep == 1 else "truncated or damaged"
    with pytest.raises(DataError, match=f"a.tar.gz.*{expected}"):
        archive.read(path, log=ignore)


def test_truncated_without_compression(archives, tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        tar.add(archives.extract(tmp_path, "cifar10-binary", archives.files("cifar10-binary")), "x")
    path.write_bytes(path.read_bytes()[:40000])
    with pytest.raises(DataError, match="a.tar.*(truncated|has no)"):
        archive.read(path, log=ignore)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip", b"x" * 5000])
def test_no_archive(tmp_path, content):
    path = tmp_path / "cifar.tar.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match="cifar.tar.gz is not a .tar.gz archive"):
        archive.read(path, log=ignore)


def test_gzip_of_something_else(tmp_path):
    import gzip

    path = tmp_path / "cifar.tar.gz"
    path.write_bytes(gzip.compress(b"x" * 5000))
    with pytest.raises(DataError, match="cifar.tar.gz is truncated or damaged"):
        archive.read(path, log=ignore)


def test_flipped_bit(archives, tmp_path):
    path = archives.make(tmp_path / "a.tar.gz", "cifar10-binary")
    data = bytearray(path.read_bytes())
    data[-6] ^= 1  # In the CRC of the gzip stream.
    path.write_bytes(data)
    with pytest.raises(DataError, match="truncated or damaged"):
        archive.read(path, log=ignore)


def test_nothing_there(tmp_path):
    for read in (archive.read, archive.digest):
        with pytest.raises(DataError, match="does not exist"):
            read(tmp_path / "none.tar.gz")
        with pytest.raises(DataError, match="holds no CIFAR-10 or CIFAR-100"):
            read(tmp_path)


def test_home_folder(archives, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    archives.make(tmp_path / "a.tar.gz", "cifar10-binary")
    assert archive.read("~/a.tar.gz", log=ignore).name == "cifar10"
    assert archive.digest("~/a.tar.gz")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable(archives, tmp_path):
    path = archives.make(tmp_path / "a.tar.gz", "cifar10-binary")
    path.chmod(0)
    for read in (archive.read, archive.digest):
        with pytest.raises(DataError, match="a.tar.gz cannot be read"):
            read(path)


def test_another_archive(tmp_path):
    path = tmp_path / "other.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("README"), io.BytesIO())
    with pytest.raises(DataError, match="other.tar.gz holds no CIFAR"):
        archive.read(path, log=ignore)


def test_another_set(archives, tmp_path):
    path = archives.make(tmp_path / "a.tar.gz", "cifar100-binary")
    with pytest.raises(DataError, match="holds cifar100, not cifar10"):
        archive.read(path, "cifar10", ignore)


@pytest.mark.parametrize(
    "name, kind, message",
    [
        ("../outside", tarfile.REGTYPE, "outside its folder"),
        ("x/../../outside", tarfile.REGTYPE, "outside its folder"),
        ("/absolute", tarfile.REGTYPE, "outside its folder"),
        ("link", tarfile.SYMTYPE, "is a link or device"),
        ("link", tarfile.LNKTYPE, "is a link or device"),
        ("device", tarfile.CHRTYPE, "is a link or device"),
    ],
)
def test_hostile_member(archives, tmp_path, name, kind, message):
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member, io.BytesIO())
    with pytest.raises(DataError, match=f"a.tar.gz has a member.*{message}.*{name}"):
        archive.read(path, log=ignore)
    assert os.listdir(tmp_path) == ["a.tar.gz"]


def test_digest_tells_archives_apart(archives, tmp_path):
    first = archives.make(tmp_path / "a.tar.gz", "cifar10-binary")
    other = archives.make(tmp_path / "b.tar.gz", "cifar10-binary", count=5)
    assert archive.digest(first) != archive.digest(other)
    files = archives.files("cifar10-binary")
    inner = archives.extract(tmp_path, "cifar10-binary", files)
    before = archive.digest(inner)
    assert archive.digest(tmp_path) == before
    (inner / "test_batch.bin").write_bytes(files["test_batch.bin"][::-1])
    assert archive.digest(inner) != before
