"""Hostile pictures."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from tests.hostile.corpus.case import cases
from tests.hostile.corpus.damage import deflated_zeros


def content(data, name="picture.png"):
    """A maker: a file of these bytes."""

    def make(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return make


def saved(kind, **options):
    """The bytes of a good picture."""
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, kind, **options)
    return file.getvalue()


PNG, JPEG, GIF, TIFF, BMP = (saved(kind) for kind in ("PNG", "JPEG", "GIF", "TIFF", "BMP"))


def piece(kind, data):
    """A chunk of PNG, with its checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, data=b""):
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + piece(b"IHDR", head) + piece(b"IDAT", data) + piece(b"IEND", b"")


def no_such(folder: Path) -> Path:
    return folder / "none.png"


def is_folder(folder: Path) -> Path:
    (folder / "picture.png").mkdir()
    return folder / "picture.png"


def not_utf8(folder: Path) -> Path:
    return folder / os.fsdecode(b"caf\xe9.png")


cases(
    "picture",
    "what is no picture, or not a whole one, is refused",
    {
        "empty": content(b""),
        "zeros": content(bytes(5000)),
        "text": content(b"a picture\n"),
        "no such file": no_such,
        "no such file, named in no encoding": not_utf8,
        "a folder": is_folder,
        "a PNG cut short": content(PNG[: len(PNG) // 2]),
        "a PNG of its signature": content(PNG[:8]),
        "a PNG of another checksum": content(PNG[:40] + b"\xff\xff" + PNG[42:]),
        "a PNG with no data": content(png(96, 64)),
        "a PNG with data that are none": content(png(96, 64, b"\xff" * 100)),
        "a PNG of 4 billion a side": content(png(2**31 - 1, 2**31 - 1)),
        "a PNG of 200 million pixels": content(png(20_000, 10_000, zlib.compress(bytes(1000)))),
        "a PNG without width": content(png(0, 64)),
        "a JPEG cut short": content(JPEG[: len(JPEG) // 2], "picture.jpg"),
        "a JPEG of its first bytes": content(JPEG[:20], "picture.jpg"),
        "a GIF cut short": content(GIF[:50], "picture.gif"),
        "a TIFF cut short": content(TIFF[:100], "picture.tif"),
        "a TIFF whose directory is nowhere": content(TIFF[:4] + b"\xff\xff\xff\x7f" + TIFF[8:], "picture.tif"),
        "a BMP cut short": content(BMP[:60], "picture.bmp"),
        "EPS, which would start a program": content(
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "picture.eps"
        ),
        "compressed text of 1 GB in a PNG": content(
            PNG[:33] + piece(b"zTXt", b"a\0\0" + deflated_zeros(200 << 20)) + PNG[33:]
        ),
    },
)
