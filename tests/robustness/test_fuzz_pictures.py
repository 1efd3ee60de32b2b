"""Any file as a picture: its classes, or one line that names it."""

import io
import shutil

import numpy as np
import pytest
from fuzzing import check, edited, edits, fuzz
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cifar_jax.data import image_files

pytestmark = pytest.mark.fuzz

KINDS = ("png", "jpeg", "webp", "gif", "bmp", "tiff", "ppm")
MODES = ("RGB", "L", "RGBA", "P", "1", "CMYK", "I;16")


def picture(kind, mode):
    """The bytes of a picture; in RGB where the kind knows no such mode."""
    file, pixels = io.BytesIO(), np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"exif": exif} if kind in ("png", "jpeg", "webp", "tiff") else {}
    try:
        image.convert(mode).save(file, kind, **options)
    except (OSError, ValueError, KeyError):
        image.save(file, kind, **options)
    return file.getvalue()


PICTURES = {(kind, mode): picture(kind, mode) for kind in KINDS for mode in MODES}


@fuzz(400)
@given(st.sampled_from(sorted(PICTURES)), st.lists(edits, max_size=4))
def test_any_file(sandbox, which, changes):
    content, path = PICTURES[which], sandbox.here / "picture.png"
    for change in changes:
        content = edited(content, change)
    path.write_bytes(content)
    try:
        image = image_files.read(path)
        assert image.shape == (32, 32, 3) and image.dtype == np.uint8
    except image_files.Unreadable as error:
        assert error.why and str(path) in str(error)


@pytest.fixture(scope="module")
def run(sandbox, workdir):
    shutil.copytree(workdir, sandbox.here / "run")


NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1, max_size=30
)


@fuzz(10)
@given(
    st.lists(
        st.tuples(NAMES, st.sampled_from(sorted(PICTURES)), st.lists(edits, max_size=2)), max_size=3
    )
)
def test_any_folder(sandbox, run, named):
    folder = sandbox.here / "pictures"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, which, changes in named:
        content = PICTURES[which]
        for change in changes:
            content = edited(content, change)
        (folder / f"{name}.png").write_bytes(content)
    ended = check(sandbox.run("predict", "--workdir", "run", "pictures"))
    wrong = ended.errors.count("error: ")
    assert ended.code == bool(wrong) and ended.printed.count("\n") + wrong == max(
        1, len(list(folder.glob("*")))
    )
