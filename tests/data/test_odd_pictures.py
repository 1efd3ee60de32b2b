"""Kinds of pixels, each with an image whose right answer is known: none is answered wrongly without a word."""

import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, features
from PIL import __version__ as pillow

from cifar_jax.data import image_files

BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def written(tmp_path, content):
    path = tmp_path / "picture"
    path.write_bytes(content)
    return path


def first_pixels(tmp_path, content, count):
    """The first pixels of a picture before it is brought to the models' size."""
    decoded = np.asarray(image_files.whole(written(tmp_path, content)))
    return [tuple(map(int, pixel)) for pixel in decoded.reshape(-1, 3)[:count]]


def refused_before_pillow_13(path):
    """True where this Pillow can't read it, which ours then says in its one way."""
    try:
        image_files.read(path)
    except image_files.Unreadable:
        return int(pillow.split(".")[0]) < 13
    return False


def png(width, bits, colours, row, transparent=None):
    """A PNG of one row; `colours`: 0 grey, 2 RGB."""

    def chunk(name, content):
        checksum = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checksum

    header = struct.pack(">IIBBBBB", width, 1, bits, colours, 0, 0, 0)
    clear = b"" if transparent is None else chunk(b"tRNS", transparent)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + clear
        + chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")
    )  # fmt: skip


# What there is of it, and what it becomes: None where it is refused.
TRANSPARENT = {
    "black of 1 bit": (png(8, 1, 0, b"\x7f", b"\0\0"), [WHITE, WHITE]),
    "white of 1 bit": (png(8, 1, 0, b"\x7f", b"\0\1"), [BLACK, WHITE]),
    "grey of 2 bits": (png(4, 2, 0, b"\x4b", b"\0\1"), [WHITE, BLACK, (170,) * 3]),
    "grey of 4 bits": (png(2, 4, 0, b"\x5f", b"\0\5"), [WHITE, WHITE]),
    "grey of 8 bits": (png(2, 8, 0, b"\x05\x07", b"\0\5"), [WHITE, (7, 7, 7)]),
    "grey of 16 bits": (png(2, 16, 0, b"\x05\x01\x05\x02", b"\5\1"), [WHITE, (5, 5, 5)]),
    "RGB of 8 bits": (png(2, 8, 2, b"\1\2\3\4\5\6", b"\0\1\0\2\0\3"), [WHITE, (4, 5, 6)]),
    "RGB of 16 bits": (
        png(2, 16, 2, b"\1\0\2\0\3\0\4\0\5\0\6\0", b"\1\0\2\0\3\0"),
        [WHITE, (4, 5, 6)],
    ),
}


@pytest.mark.parametrize("name", TRANSPARENT)
def test_the_one_colour_that_a_png_calls_transparent_is_white(tmp_path, name):
    content, expected = TRANSPARENT[name]
    assert first_pixels(tmp_path, content, len(expected)) == expected


def tiff(pixels, bits, photometric=1, sample_format=1, samples=1, extra=None):
    """A TIFF of one row of little-endian pixels, bytes."""
    width = len(pixels) * 8 // (bits * samples)
    short, long = 3, 4
    tags = [
        (256, long, 1, width), (257, long, 1, 1), (258, short, samples, bits), (259, short, 1, 1),
        (262, short, 1, photometric), (273, long, 1, None), (277, short, 1, samples),
        (278, long, 1, 1), (279, long, 1, len(pixels)), (339, short, samples, sample_format),
    ]  # fmt: skip
    tags = sorted(tags if extra is None else [*tags, (338, short, 1, extra)])
    end, directory, beyond = 8 + 2 + 12 * len(tags) + 4, struct.pack("<H", len(tags)), b""
    for tag, kind, count, value in tags:
        if tag == 273:  # where the pixels begin
            field = struct.pack("<I", end + 32)
        elif kind == short and count > 2:  # values that do not fit into a field
            field = struct.pack("<I", end + len(beyond))
            beyond += struct.pack(f"<{count}H", *[value] * count).ljust(16, b"\0")
        else:
            field = (
                struct.pack("<2H", *([value] * count + [0])[:2])
                if kind == short
                else struct.pack("<I", value)
            )
        directory += struct.pack("<HHI", tag, kind, count) + field
    return b"II*\0\x08\0\0\0" + directory + bytes(4) + beyond.ljust(32, b"\0") + pixels


def integers(kind, *values):
    return np.array(values, kind).tobytes()


SIGNED, FLOATING, WHITE_IS_ZERO = 2, 3, 0
TIFFS = {
    "8 bits": (tiff(b"\x00\xff\x07", 8), [BLACK, WHITE, (7, 7, 7)]),
    "8 bits, white is 0": (tiff(b"\x00\xff\x07", 8, WHITE_IS_ZERO), [WHITE, BLACK, (248,) * 3]),
    "12 bits": (tiff(b"\xff\xf0\x00\x80\x00\x00", 12), [WHITE, BLACK, (128,) * 3]),
    "16 bits": (tiff(integers("<u2", 0, 65535, 0x0701), 16), [BLACK, WHITE, (7, 7, 7)]),
    "16 bits, white is 0": (
        tiff(integers("<u2", 0, 65535, 0x0701), 16, WHITE_IS_ZERO),
        [WHITE, BLACK, (248,) * 3],
    ),
    "8 bits, signed": (tiff(b"\x00\xff\x07", 8, 1, SIGNED), None),
    "16 bits, signed": (tiff(integers("<i2", 0, 255, -1), 16, 1, SIGNED), None),
    "32 bits": (tiff(integers("<u4", 0, 255, 7), 32), None),
    "32 bits, signed": (tiff(integers("<i4", 0, 255, 7), 32, 1, SIGNED), None),
    "floating point": (tiff(integers("<f4", 0, 1, 0.5), 32, 1, FLOATING), None),
    "RGB of 16 bits": (tiff(integers("<u2", 65535, 0x0701, 0), 16, 2, samples=3), [(255, 7, 0)]),
    "CMYK": (tiff(b"\x00\xff\xff\x00", 8, 5, samples=4), [(255, 0, 0)]),
    "grey and alpha": (tiff(b"\x64\x80", 8, samples=2, extra=2), [(177, 177, 177)]),
    "grey times alpha": (tiff(b"\x32\x80", 8, samples=2, extra=1), [(177, 177, 177)]),
    "RGB and nothing": (tiff(b"\x01\x02\x03\x00", 8, 2, samples=4, extra=0), [(1, 2, 3)]),
}


@pytest.mark.parametrize("name", TIFFS)
def test_tiffs_are_read_by_their_true_range_or_refused(tmp_path, name):
    content, expected = TIFFS[name]
    if expected is None:
        with pytest.raises(image_files.Unreadable, match="whose range nothing tells"):
            first_pixels(tmp_path, content, 1)
    else:
        if name == "grey times alpha" and refused_before_pillow_13(written(tmp_path, content)):
            return
        np.testing.assert_allclose(first_pixels(tmp_path, content, len(expected)), expected, atol=1)


@pytest.mark.parametrize(
    ("photometric", "red"), [(6, b"\x4c\x55\xff"), (8, b"\x88\x50\x43")], ids=["YCbCr", "CIELAB"]
)
def test_other_colour_spaces_become_rgb(tmp_path, photometric, red):
    content = tiff(red, 8, photometric, samples=3)
    if not refused_before_pillow_13(written(tmp_path, content)):
        ((r, g, b),) = first_pixels(tmp_path, content, 1)
        assert r > 240 and g < 16 and b < 16


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"P5 2 1 65535\n\xff\xff\x07\x01", [WHITE, (7, 7, 7)]),
        (b"P5 2 1 1000\n\x03\xe8\x01\xf4", [WHITE, (128,) * 3]),
        (b"P2 2 1 1000\n1000 500\n", [WHITE, (128,) * 3]),
        (b"P5 2 1 100\n\x64\x32", [WHITE, (128,) * 3]),
        (b"P6 1 1 65535\n\xff\xff\x07\x01\0\0", [(255, 7, 0)]),
        (b"P1 2 1\n1 0\n", [BLACK, WHITE]),
    ],
)
def test_portable_maps_are_read_by_the_range_they_name(tmp_path, content, expected):
    np.testing.assert_allclose(first_pixels(tmp_path, content, len(expected)), expected, atol=1)


def test_pixels_of_floating_point_in_a_portable_map(tmp_path):
    with pytest.raises(image_files.Unreadable, match="of floating point, whose range nothing"):
        first_pixels(tmp_path, b"Pf 1 1 -1.0\n" + struct.pack("<f", 0.5), 1)


QUARTERS = np.kron([[200, 90], [20, 150]], np.ones((16, 16))).astype(np.uint8)
QUARTERS = np.repeat(QUARTERS[..., None], 3, axis=-1)  # Colours are kept in half the pixels.


@pytest.fixture(params=["AVIF", "HEIF"])
def kind(request):
    if request.param == "HEIF":
        pytest.importorskip("pillow_heif", reason="the extra heif")
        assert "HEIF" in image_files._known()
    elif not features.check("avif"):
        pytest.skip("a Pillow without AVIF")
    return request.param


@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif_and_heic_are_turned_as_the_camera_was_held(tmp_path, kind, orientation):
    for path, form in ((tmp_path / "as.png", "PNG"), (tmp_path / "picture", kind)):
        quarters, exif = Image.fromarray(QUARTERS), Image.Exif()
        exif[0x0112] = orientation
        quarters.info["exif"] = exif.tobytes()
        quarters.save(path, form, quality=100, exif=exif.tobytes())
    expected, image = image_files.read(tmp_path / "as.png"), image_files.read(tmp_path / "picture")
    assert np.abs(image.astype(int) - expected).mean() < 3
    if orientation != 1:
        assert np.abs(image.astype(int) - QUARTERS).mean() > 20


def test_avif_and_heic_that_claim_many_pixels_are_not_decoded(tmp_path, kind, monkeypatch):
    path = tmp_path / "picture"
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(path, kind)  # 32 would be coded as 64
    content = path.read_bytes()
    size = b"ispe" + struct.pack(">III", 0, 64, 64)
    assert size in content
    path.write_bytes(content.replace(size, b"ispe" + struct.pack(">III", 0, 9000, 9000)))
    monkeypatch.setattr(Image.Image, "convert", None)
    with pytest.raises(image_files.Unreadable, match="9000 x 9000 pixels, more than 50 million"):
        image_files.read(path)


@pytest.mark.parametrize("brand", ["heic", "mif1", "avif"])
def test_a_kind_that_this_machine_does_not_read_names_what_it_takes(tmp_path, brand, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # An import of it raises.
    monkeypatch.setattr(features, "check", lambda name: False)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    monkeypatch.delitem(Image.OPEN, "AVIF", raising=False)
    image_files._known.cache_clear()
    path = tmp_path / "picture"
    path.write_bytes(b"\0\0\0\x1cftyp" + brand.encode() + bytes(16))
    needed = (
        "AVIF, which needs Pillow 11.3" if brand == "avif" else "HEIF, which needs the extra `heif`"
    )
    try:
        with pytest.raises(image_files.Unreadable, match=needed):
            image_files.read(path)
    finally:
        image_files._known.cache_clear()
