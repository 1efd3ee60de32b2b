"""Any archive: read, or refused in one message that names it; nothing of it is run or written."""

import functools
import gzip
import io
import pickle
import tarfile

import numpy as np
import pytest
from fuzzing import NASTY, check, edited, edits, fuzz
from hypothesis import given
from hypothesis import strategies as st
from small_archives import FORMS, Archives

from cifar_jax.data import pickles
from cifar_jax.errors import DataError

pytestmark = pytest.mark.fuzz

SOUND = {form: Archives().files(form, count=2) for form in FORMS}
PICKLED = [form for form in FORMS if "python" in form]
SMALL = np.arange(12, dtype=np.uint8).reshape(2, 6)
SHAPELESS = np.array(3)
DEEP = functools.reduce(lambda inner, _: [inner], range(900), [])


def tar(members):
    """An uncompressed tar of (TarInfo, content)."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as packed:
        for member, content in members:
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return file.getvalue()


def members(form):
    return [
        (tarfile.TarInfo(f"{FORMS[form].folder}/{name}"), content)
        for name, content in SOUND[form].items()
    ]


def prepare(sandbox, content):
    """How data.prepare ends with an archive of such bytes; what is sound is read, but not written again."""
    (sandbox.here / "cifar.tar.gz").write_bytes(content)
    return check(sandbox.run("data.prepare", "--archive", "cifar.tar.gz", "--data_dir", "data"))


@pytest.fixture(autouse=True)
def only_read(monkeypatch):
    monkeypatch.setattr("cifar_jax.data.from_archive._write", refuse_to_write)


def refuse_to_write(*_):
    raise DataError("the archive is sound; writing the set is left out here")


@fuzz(40)
@given(st.sampled_from(sorted(FORMS)), st.lists(edits, max_size=3), st.booleans(), st.booleans())
def test_damaged_bytes(sandbox, form, changes, packed_before, packed_after):
    content = tar(members(form))
    if packed_before:
        content = gzip.compress(content, 1)
    for change in changes:
        content = edited(content, change)
    prepare(sandbox, gzip.compress(content, 1) if packed_after else content)


kinds = st.sampled_from("0123456SVLKgxXD\0").map(str.encode)
names = st.one_of(
    st.sampled_from(
        [
            "../outside",
            "/outside",
            "x/../../outside",
            "a\0b",
            "\x1b[2J",
            "data_batch_1.bin",
            "batches.meta",
        ]
    ),
    st.sampled_from(NASTY),
    st.text(max_size=300),
)
numbers = st.one_of(st.integers(), st.sampled_from(["x", "-1", "1e9", "", "9" * 30, "0,1,2"])).map(
    str
)
headers = st.dictionaries(
    st.sampled_from(
        [
            "path",
            "size",
            "linkpath",
            "uid",
            "mtime",
            "GNU.sparse.map",
            "GNU.sparse.major",
            "GNU.sparse.minor",
        ]
        + ["GNU.sparse.size", "GNU.sparse.realsize", "GNU.sparse.name", "hdrcharset", "charset"]
    ),
    st.one_of(numbers, names),
    max_size=4,
)


@fuzz(40)
@given(st.sampled_from(sorted(FORMS)), names, kinds, names, headers, st.binary(max_size=600))
def test_hostile_members(sandbox, form, name, kind, target, pax, content):
    """Anything as a member before the sound ones, its header in order."""
    member = tarfile.TarInfo()
    member.type, member.name, member.linkname, member.pax_headers = kind, name, target, pax
    try:
        content = tar([(member, content), *members(form)])
    except (ValueError, UnicodeError):  # what Python itself can't write
        return
    prepare(sandbox, content)


objects = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=5),
        st.binary(max_size=5),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from([b"data", b"labels", "x"]), inner, max_size=3),
    ),
    max_leaves=8,
)


@fuzz(40)
@given(st.sampled_from(PICKLED), st.data())
def test_any_objects_in_pickles(sandbox, form, data):
    """A batch or the names with another value under one of its keys."""
    files = dict(SOUND[form])
    name = data.draw(st.sampled_from(sorted(files)))
    content = pickle.loads(files[name])
    key = data.draw(st.sampled_from(sorted(content, key=str)))
    value = data.draw(st.one_of(objects, st.sampled_from([SHAPELESS, DEEP, ["\x1b[2J"] * 10])))
    files[name] = pickle.dumps({**content, key: value}, data.draw(st.integers(0, 5)))
    prepare(
        sandbox,
        tar(
            [
                (tarfile.TarInfo(f"{FORMS[form].folder}/{name}"), each)
                for name, each in files.items()
            ]
        ),
    )


@fuzz(300)
@given(st.lists(edits, min_size=1, max_size=4), st.integers(0, 5))
def test_damaged_pickles(changes, protocol):
    content = pickle.dumps({b"data": SMALL, b"labels": [1, 2]}, protocol)
    for change in changes:
        content = edited(content, change)
    try:
        assert isinstance(pickles.loads(content, "batch"), dict)
    except DataError as error:
        assert str(error).startswith("batch ")
