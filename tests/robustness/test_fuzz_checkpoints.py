"""Any damage to a run's folder: its reader answers, or says in one message what is wrong."""

import json
import os
import shutil

import pytest
from fuzzing import check, edited, edits, fuzz
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

pytestmark = pytest.mark.fuzz

VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def files(sandbox, workdir):
    """The files of the run, by their paths in it."""
    Image.new("RGB", (40, 30)).save(sandbox.here / "picture.png")
    paths = [path for path in sorted(workdir.rglob("*")) if path.is_file()]
    return {str(path.relative_to(workdir)): path.read_bytes() for path in paths}


def damaged(files, change):
    """The files with one change: bytes edited; a file that is gone, or a folder; JSON with another value."""
    kind, place, detail = change
    path = sorted(files)[int(place * len(files))]
    if kind == "bytes":
        return files | {path: edited(files[path], detail)}
    if kind == "json":
        texts = [each for each in sorted(files) if is_json(files[each])]
        path = texts[int(place * len(texts))]
        return files | {path: json.dumps(replaced(json.loads(files[path]), *detail)).encode()}
    gone = {each: content for each, content in files.items() if each != path}
    return gone if kind == "gone" else gone | {f"{path}/inside": b""}


def is_json(content):
    try:
        return isinstance(json.loads(content), dict)
    except ValueError:
        return False


def replaced(tree, places, value):
    """A JSON value with another one somewhere in it; None there takes the key away."""
    if not isinstance(tree, dict) or not tree or not places:
        return value
    key = sorted(tree)[int(places[0] * len(tree))]
    if len(places) == 1 and value is None:
        return {each: inner for each, inner in tree.items() if each != key}
    return tree | {key: replaced(tree[key], places[1:], value)}


places = st.floats(0, 1, exclude_max=True)
changes = st.one_of(
    st.tuples(st.just("bytes"), places, edits),
    st.tuples(st.sampled_from(["gone", "folder"]), places, st.none()),
    st.tuples(st.just("json"), places, st.tuples(st.lists(places, max_size=4), VALUES)),
)
READERS = {
    "predict": ("--workdir", "run", "picture.png"),
    "evaluate": ("--workdir", "run", "--no-speed", "--no-figures", "--out", "out"),
    "weights": ("--workdir", "run", "--target", "w.npz"),
}


@fuzz(12)
@given(st.sampled_from(sorted(READERS)), st.lists(changes, min_size=1, max_size=2))
def test_any_damage(sandbox, files, name, damage):
    for change in damage:
        files = damaged(files, change)
    folder = sandbox.here / "run"
    shutil.rmtree(folder, ignore_errors=True)
    for path, content in files.items():
        os.makedirs(folder / os.path.dirname(path), exist_ok=True)
        (folder / path).write_bytes(content)
    check(sandbox.run(name, *READERS[name]))
