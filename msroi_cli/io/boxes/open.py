"""Opens a box file of any format; the only module that knows all of them."""

from __future__ import annotations

import sys

from msroi_cli.errors import InputError
from msroi_cli.io.boxes.json_file import parse_boxes
from msroi_cli.io.boxes.table import BoxTable
from msroi_cli.io.files.location import HDF5_SIGNATURE, Location, Source
from msroi_cli.io.files.refusal import refusing


def read_boxes(text: str) -> tuple[BoxTable, Source]:
    """Reads the boxes of `FILE`, `FILE::/group` (HDF5) or `-`, standard input (JSON or JSON Lines).

    Raises InputError that says where the file is not what it should be.
    """
    with refusing(text):
        return _read(text)


def _read(text: str) -> tuple[BoxTable, Source]:
    if text == "-":
        content = sys.stdin.buffer.read() if sys.stdin else b""
        if content.startswith(HDF5_SIGNATURE):
            raise InputError("-: expected JSON or JSON Lines on standard input, got HDF5; name the file instead")
        return parse_boxes("-", content), Source.of_bytes("-", content)
    location = Location.parse(text)
    if location.is_hdf5():
        from msroi_cli.io.boxes.hdf5 import read_hdf5_boxes

        return read_hdf5_boxes(location), Source.of_file(location.path)
    if location.group != "/":
        raise InputError(f"{location}: expected an HDF5 file, which has groups, got another file")
    content = location.content()
    return parse_boxes(text, content), Source.of_bytes(location.path.name, content)
