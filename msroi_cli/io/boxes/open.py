"""Opens a box file of any format; the only module that knows all of them. It imports those that are read."""

from __future__ import annotations

import hashlib
import io
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from msroi_cli.errors import InputError, UsageError
from msroi_cli.io.boxes.content import (
    NPY_SIGNATURE,
    NPZ_SIGNATURE,
    PARQUET_SIGNATURE,
    is_stream,
    read_content,
    refuse_binary,
    unpacked,
)
from msroi_cli.io.boxes.pieces.text import Raw, Text
from msroi_cli.io.boxes.table import BoxTable
from msroi_cli.io.files.location import HDF5_SIGNATURE, Location, Source
from msroi_cli.io.files.refusal import refusing

READ = (
    'JSON or JSON Lines (rows [i, x1, y1, x2, y2], COCO data sets and results, {"image id": [[x1, y1, x2, y2], ...]}, '
    "lists of {image_id, boxes, scores, labels}), CSV or TSV with a header, all of them gzipped too, NPY, NPZ, "
    "Parquet, HDF5, or a folder of YOLO labels"
)

BINARY = (HDF5_SIGNATURE, PARQUET_SIGNATURE, NPY_SIGNATURE, NPZ_SIGNATURE)


class BoxFileOptions(NamedTuple):
    """What the user says of a box file.

    columns: the header's name of a column by its meaning, and `delimiter`. coco_images: a COCO data set whose images
    are those of the boxes.
    """

    columns: Mapping[str, str] = {}
    coco_images: str | None = None


def read_boxes(text: str, options: BoxFileOptions | None = None) -> tuple[BoxTable, Source]:
    """Reads the boxes of a file, a folder of labels, `FILE::/group` (HDF5), a pipe, or `-`, standard input.

    Raises InputError that says where the file is not what it should be, UsageError for options it has no use for.
    """
    options = options or BoxFileOptions()
    with refusing(text):
        table, source = _read(text, options)
    if options.columns and table.kind not in ("CSV", "TSV", "Parquet"):
        raise UsageError(f"--columns: expected with CSV, TSV or Parquet, got {table.kind} in {text}")
    if options.coco_images is None:
        return table, source
    from msroi_cli.io.boxes.coco import with_images

    content = unpacked(options.coco_images, read_content(Location(Location.parse(options.coco_images).path)))
    return with_images(table, options.coco_images, content), source


def _read(text: str, options: BoxFileOptions) -> tuple[BoxTable, Source]:
    location = Location.parse(text)
    if location.path.is_dir():
        from msroi_cli.io.boxes.yolo import read_yolo_folder

        table, content = read_yolo_folder(location.path)
        return table, Source.of_bytes(location.path.name, content)
    stream = is_stream(location)
    if not stream:
        if location.is_hdf5():
            from msroi_cli.io.boxes.hdf5 import read_hdf5_boxes

            return read_hdf5_boxes(location), Source.of_file(location.path)
        if location.group != "/":
            raise InputError(f"{location}: expected an HDF5 file, which has groups, got another file")
        if location.content(4) == PARQUET_SIGNATURE:
            from msroi_cli.io.boxes.tabular.parquet import read_parquet

            return read_parquet(location.path, options.columns), Source.of_file(location.path)
        found = _read_by_pieces(text, location, options)
        if found is not None:
            return found
    content = read_content(location)
    name = "-" if text == "-" else location.path.name
    table = (parse if stream else parse_whole)(text, content, options)
    return table, Source.of_bytes(name, content)


def _read_by_pieces(text: str, location: Location, options: BoxFileOptions) -> tuple[BoxTable, Source] | None:
    """The boxes of a file that is never in memory as a whole; None where it has to be."""
    try:
        with location.path.open("rb") as file:
            raw = Raw(file, file.seek(0, io.SEEK_END), hashlib.sha256())
            file.seek(0)
            table = _parse_by_pieces(text, raw, options)
    except OSError:
        # Whoever reads the file as a whole says what is wrong.
        return None
    return None if table is None else (table, raw.source(location.path.name))


def box_files(text: str) -> list[Path]:
    """The files that hold the boxes; none for what can be read only once."""
    location = Location.parse(text)
    if location.path.is_dir():
        from msroi_cli.io.boxes.yolo import label_files

        return label_files(location.path)
    return [location.path] if location.path.is_file() else []


def parse(name: str, content: bytes, options: BoxFileOptions | None = None) -> BoxTable:
    """The boxes of a file that was read whole; raises InputError."""
    options = options or BoxFileOptions()
    table = _parse_by_pieces(name, Raw(io.BytesIO(content), len(content)), options)
    return parse_whole(name, content, options) if table is None else table


def _parse_by_pieces(name: str, raw: Raw, options: BoxFileOptions) -> BoxTable | None:
    """The boxes of a text that is read piece by piece; None where it has to be read as a whole.

    Raises what `parse_whole` raises for the same text.
    """
    try:
        text = Text(raw)
        if not text.more() or text.content.startswith(BINARY) or not text.content.strip():
            return None
        if is_json(text.content):
            from msroi_cli.io.boxes.pieces.coco_text import coco_table

            return coco_table(name, text)
        from msroi_cli.io.boxes.pieces.csv_text import csv_table

        return csv_table(name, text, options.columns)
    except (OSError, EOFError, zlib.error):
        return None


def parse_whole(name: str, content: bytes, options: BoxFileOptions) -> BoxTable:
    """The twin of what reads piece by piece, which says what is wrong; raises InputError."""
    content = unpacked(name, content)
    refuse_binary(name, content)
    if content.startswith((NPY_SIGNATURE, NPZ_SIGNATURE)):
        from msroi_cli.io.boxes.arrays import parse_npy, parse_npz

        return (parse_npy if content.startswith(NPY_SIGNATURE) else parse_npz)(name, content)
    if is_json(content) or not content.strip():
        from msroi_cli.io.boxes.json_file import parse_boxes

        return parse_boxes(name, content)
    from msroi_cli.io.boxes.tabular.csv_file import parse_csv

    table = parse_csv(name, content, options.columns)
    if table is None:
        raise InputError(f"{name}: expected {READ}; got a file that begins {_start(content)}")
    return table


def is_json(content: bytes) -> bool:
    """Whether a text begins as JSON does."""
    start: Any = content[:64]
    return start.decode(json.detect_encoding(start), errors="ignore").lstrip("\ufeff \t\r\n")[:1] in ("{", "[")


def _start(content: bytes) -> str:
    line = content.split(b"\n", 1)[0][:60]
    return repr(line.decode()) if line.isascii() else repr(line)
