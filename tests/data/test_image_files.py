"""Pictures of the user's own."""

import numpy as np
import pytest
from PIL import Image

from cifar_jax.data import image_files, images
from cifar_jax.errors import UserError

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (32, 32, 3), np.uint8)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "ppm", "gif", "webp", "jpg"])
def test_kinds_of_files(tmp_path, suffix):
    path = tmp_path / f"picture.{suffix}"
    Image.fromarray(PICTURE).save(path, **({"lossless": True} if suffix == "webp" else {}))
    found = image_files.read(path)
    assert found.shape == (32, 32, 3) and found.dtype == np.uint8
    if suffix not in ("gif", "jpg"):
        np.testing.assert_array_equal(found, PICTURE)


def test_other_sizes_are_brought_to_the_models_as_in_data_sets(tmp_path):
    large = Image.fromarray(RNG.integers(0, 256, (70, 90, 3), np.uint8))
    large.save(tmp_path / "large.png")
    np.testing.assert_array_equal(image_files.read(tmp_path / "large.png"), images.fit(large))


def test_grey_deep_and_transparent_pictures(tmp_path):
    grey = PICTURE[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    for name in ("grey.png", "deep.png"):
        expected = np.repeat(grey[..., None], 3, axis=-1)
        np.testing.assert_array_equal(image_files.read(tmp_path / name), expected)

    alpha = np.full((32, 32, 1), 255, np.uint8)
    alpha[:16] = 0
    Image.fromarray(np.concatenate([PICTURE, alpha], axis=-1)).save(tmp_path / "clear.png")
    found = image_files.read(tmp_path / "clear.png")
    assert np.all(found[:16] == 255)
    np.testing.assert_array_equal(found[16:], PICTURE[16:])


def test_a_picture_is_turned_as_the_camera_was_held(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: turned to the left.
    Image.fromarray(PICTURE).save(tmp_path / "turned.png", exif=exif)
    found = image_files.read(tmp_path / "turned.png")
    np.testing.assert_array_equal(found, np.rot90(PICTURE, -1))


def whole():
    import io

    file = io.BytesIO()
    Image.fromarray(PICTURE).save(file, "png")
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", whole()[:100], whole()[:-40], whole().replace(b"IDAT", b"IDAX"), b"GIF89a"],
)
def test_what_is_no_picture_is_refused(tmp_path, content):
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    with pytest.raises(UserError, match="picture.png can't be read as a picture"):
        image_files.read(path)


def test_what_would_run_a_program_is_not_opened(tmp_path):
    path = tmp_path / "picture.eps"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with pytest.raises(UserError, match="can't be read as a picture"):
        image_files.read(path)


def test_huge_pictures_and_files_are_refused(tmp_path, monkeypatch):
    Image.new("1", (12_000, 12_000)).save(tmp_path / "huge.png")  # 18 kB
    with pytest.raises(UserError, match="12000 x 12000 pixels, more than 50 million"):
        image_files.read(tmp_path / "huge.png")
    monkeypatch.setattr(image_files, "MAX_BYTES", 1000)
    with pytest.raises(UserError, match="over 0 MB"):
        image_files.read(tmp_path / "huge.png")


@pytest.mark.parametrize("name", ["none.png", ".", "x" * 5000, "a\0b"])
def test_what_is_no_file_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="there is no file|can't read"):
        image_files.read(f"{tmp_path}/{name}")
