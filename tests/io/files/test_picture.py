"""Pictures are read upright, as large as their first bytes say, and only where RGB has all that they hold."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from msroi_cli.errors import InputError
from msroi_cli.io.files.picture import check_picture, picture_size, read_picture
from tests.pictures import ORIENTATIONS, save_turned

READERS = (read_picture, check_picture, picture_size)

UPRIGHT = Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)).resize((60, 40))


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_picture_is_upright_and_as_large_as_it_is_read(tmp_path, orientation, suffix):
    path = tmp_path / f"p.{suffix}"
    save_turned(UPRIGHT, path, orientation)
    picture = read_picture(path)
    assert picture_size(path) == picture.size == UPRIGHT.size
    apart = np.abs(np.subtract(picture, UPRIGHT, dtype=int))
    assert apart.mean() < 10 if suffix == "jpg" else not apart.any()


def grey(path, dtype):
    Image.fromarray(np.arange(0, 60000, 500, dtype).reshape(10, 12)).save(path)


DEEP = {
    "I;16": lambda path: grey(path.with_suffix(".png"), np.uint16),
    "I;16B": lambda path: big_endian_tiff(path.with_suffix(".tif")),
    "I": lambda path: grey(path.with_suffix(".tif"), np.int32),
    "F": lambda path: grey(path.with_suffix(".tif"), np.float32),
}


def big_endian_tiff(path, planes=1):
    """An uncompressed TIFF of 2 x 1 pixels of 16 bits, grey or with a plane for each of 3 channels."""
    values = ((256, 2), (257, 1), (258, 16), (259, 1), (262, 1 if planes == 1 else 2), (273, 8), (277, planes))
    tags = {**dict(values), 278: 1, 279: 4, 284: 1 if planes == 1 else 2}
    first, size = 8 + 4 * planes, 2 + 12 * len(tags) + 4
    lists = {258: [16], 273: [8 + 4 * plane for plane in range(planes)], 279: [4]}
    entries, behind = b"", b""
    for tag, value in tags.items():
        numbers = (lists[tag] * planes)[:planes] if tag in lists else [value]
        content = struct.pack(f">{len(numbers)}H", *numbers)
        if len(content) > 4:
            content, behind = struct.pack(">I", first + size + len(behind)), behind + content
        entries += struct.pack(">HHI", tag, 3, len(numbers)) + content.ljust(4, b"\0")
    pixels = struct.pack(">HH", 1000, 60000) * planes
    directory = struct.pack(">H", len(tags)) + entries + bytes(4) + behind
    path.write_bytes(b"MM\0*" + struct.pack(">I", first) + pixels + directory)


@pytest.mark.parametrize("mode", DEEP)
def test_grey_of_more_than_8_bits_is_refused(tmp_path, mode):
    DEEP[mode](tmp_path / "p")
    [path] = tmp_path.iterdir()
    for reader in READERS:
        with pytest.raises(InputError, match=rf"{path.name}: expected 8 bits a channel, got mode {mode[0]}"):
            reader(path)


def test_grey_of_16_bits_in_plain_text_formats_is_refused(tmp_path):
    (tmp_path / "p.pgm").write_bytes(b"P5 2 1 65535\n" + bytes(4))
    with pytest.raises(InputError, match="got mode I"):
        read_picture(tmp_path / "p.pgm")


def test_colours_of_16_bits_in_planes_are_refused(tmp_path):
    """Pillow takes their bytes for pixels of 8 bits."""
    big_endian_tiff(tmp_path / "p.tif", planes=3)
    with Image.open(tmp_path / "p.tif") as picture:
        assert (picture.mode, picture.size) == ("RGB", (2, 1))
    for reader in READERS:
        with pytest.raises(InputError, match=r"p\.tif: expected 8 bits a channel, got 16 in a plane a channel"):
            reader(tmp_path / "p.tif")


def test_signed_values_are_refused(tmp_path):
    """Pillow takes -1 for 255."""
    Image.new("L", (2, 1), 255).save(tmp_path / "p.tif", tiffinfo={339: 2})
    with Image.open(tmp_path / "p.tif") as picture:
        assert picture.mode == "L"
    for reader in READERS:
        with pytest.raises(InputError, match=r"p\.tif: expected 8 bits a channel, got signed values"):
            reader(tmp_path / "p.tif")


def test_of_colours_of_16_bits_the_upper_8_are_read(tmp_path):
    values = np.random.default_rng(1).integers(0, 1 << 16, (5, 7, 3)).astype(">u2")
    path = tmp_path / "p.png"
    path.write_bytes(colour_png(values))
    assert np.array_equal(read_picture(path), values >> 8)
    assert picture_size(path) == (7, 5)


def colour_png(values):
    """A PNG of RGB (H, W, 3), big-endian uint16, which Pillow does not write."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "LAB"])
def test_all_other_kinds_are_read(tmp_path, mode):
    path = tmp_path / "p.tif"
    Image.new(mode, (6, 4)).save(path)
    assert (read_picture(path).mode, read_picture(path).size) == ("RGB", (6, 4))
    check_picture(path)
    assert picture_size(path) == (6, 4)
