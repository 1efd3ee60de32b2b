"""Pictures of the user's own."""

import os

import numpy as np
import pytest
from PIL import Image

from cifar_jax.data import image_files, images
from cifar_jax.errors import UserError

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (32, 32, 3), np.uint8)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "ppm", "gif", "webp", "jpg", "avif"])
def test_kinds_of_files(tmp_path, suffix):
    path = tmp_path / f"picture.{suffix}"
    Image.fromarray(PICTURE).save(path, **({"lossless": True} if suffix == "webp" else {}))
    image = image_files.read(path)
    assert image.shape == (32, 32, 3) and image.dtype == np.uint8
    if suffix not in ("gif", "jpg", "avif"):
        np.testing.assert_array_equal(image, PICTURE)


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
    image = image_files.read(tmp_path / "clear.png")
    assert np.all(image[:16] == 255)
    np.testing.assert_array_equal(image[16:], PICTURE[16:])


def test_a_picture_is_turned_as_the_camera_was_held(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: turned to the left.
    Image.fromarray(PICTURE).save(tmp_path / "turned.png", exif=exif)
    image = image_files.read(tmp_path / "turned.png")
    np.testing.assert_array_equal(image, np.rot90(PICTURE, -1))


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
    with pytest.raises(UserError, match="picture.png: can't be read as a picture"):
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
    with pytest.raises(UserError, match="there is no such file|a folder, not a file|can't be read"):
        image_files.read(f"{tmp_path}/{name}")


def saved(tmp_path, image, suffix="png", **options):
    path = tmp_path / f"picture.{suffix}"
    image.save(path, **options)
    return image_files.read(path)


def test_palettes_cmyk_and_black_and_white(tmp_path):
    rgb = Image.fromarray(PICTURE)
    cmyk = rgb.convert("CMYK")
    np.testing.assert_array_equal(saved(tmp_path, cmyk, "tiff"), PICTURE)
    black_white = rgb.convert("1")
    np.testing.assert_array_equal(
        saved(tmp_path, black_white), np.asarray(black_white.convert("RGB"))
    )
    palette = rgb.quantize(16)
    np.testing.assert_array_equal(saved(tmp_path, palette), np.asarray(palette.convert("RGB")))
    clear = saved(tmp_path, palette, transparency=palette.getpixel((0, 0)))
    assert np.all(clear[0, 0] == 255)


def test_half_transparent_is_half_white(tmp_path):
    grey = Image.new("LA", (8, 8), (0, 128))
    np.testing.assert_allclose(saved(tmp_path, grey), 127, atol=1)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tiff"])
def test_of_several_frames_the_first_is_taken(tmp_path, suffix):
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("blue", "red")]
    options = {"lossless": True} if suffix == "webp" else {}
    image = saved(tmp_path, frames[0], suffix, save_all=True, append_images=frames[1:], **options)
    np.testing.assert_array_equal(image, np.asarray(frames[0]))


def test_pixels_of_floating_point_are_refused(tmp_path):
    with pytest.raises(image_files.Unreadable, match="whose range nothing tells"):
        saved(tmp_path, Image.fromarray(np.zeros((8, 8), np.float32)), "tiff")


def bomb(width, height):
    """A PNG of 66 bytes that claims to be large."""
    import struct
    import zlib

    def chunk(name, content):
        checksum = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize("side", [8_000, 10_000, 50_000])
def test_a_small_file_that_claims_many_pixels_is_too_large(tmp_path, side):
    (tmp_path / "bomb.png").write_bytes(bomb(side, side))
    with pytest.raises(image_files.Unreadable, match="more than 50 million.*; make it smaller"):
        image_files.read(tmp_path / "bomb.png")


def test_pipes_devices_and_links_to_nothing_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to("nothing.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    for name, why in (
        (tmp_path / "pipe.png", "a device or a pipe"),
        ("/dev/zero", "a device or a pipe"),
        (tmp_path / "link.png", "a link to nothing"),
        (tmp_path / "loop.png", "can't be read"),
    ):
        with pytest.raises(image_files.Unreadable, match=why) as caught:
            image_files.read(name)
        assert str(caught.value) == f"{name}: {caught.value.why}"


def test_a_folder_stands_for_the_pictures_in_it(tmp_path):
    (tmp_path / "b" / ".git").mkdir(parents=True)
    for name in ("z.JPG", "a.png", "b/c.tif", "b/.git/d.png", ".e.png", "f.txt"):
        (tmp_path / name).touch()
    (tmp_path / "b" / "up").symlink_to(tmp_path)
    (tmp_path / "README").touch()
    files, refused, left_out = image_files.find(tmp_path)
    assert files == [f"{tmp_path}/{name}" for name in ("a.png", "b/c.tif", "z.JPG")] and not refused
    assert left_out == {".txt": 1, "without a suffix": 1, "hidden": 2, "links to folders": 1}
    assert image_files.find(tmp_path / "f.txt") == ([f"{tmp_path}/f.txt"], [], {})
    (tmp_path / "empty").mkdir()
    files, (refused,), left_out = image_files.find(tmp_path / "empty")
    assert not files and refused.path == str(tmp_path / "empty") and not left_out
