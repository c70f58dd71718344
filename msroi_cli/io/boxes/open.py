"""Opens a box file of any format; the only module that knows all of them. It imports those that are read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
from msroi_cli.io.boxes.table import BoxTable
from msroi_cli.io.files.location import Location, Source
from msroi_cli.io.files.refusal import refusing

READ = (
    'JSON or JSON Lines (rows [i, x1, y1, x2, y2], COCO data sets and results, {"image id": [[x1, y1, x2, y2], ...]}, '
    "lists of {image_id, boxes, scores, labels}), CSV or TSV with a header, all of them gzipped too, NPY, NPZ, "
    "Parquet, HDF5, or a folder of YOLO labels"
)


@dataclass(frozen=True, slots=True)
class BoxFileOptions:
    """What the user says of a box file.

    columns: the header's name of a column by its meaning, and `delimiter`. coco_images: a COCO data set whose images
    are those of the boxes.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
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
    if not is_stream(location):
        if location.is_hdf5():
            from msroi_cli.io.boxes.hdf5 import read_hdf5_boxes

            return read_hdf5_boxes(location), Source.of_file(location.path)
        if location.group != "/":
            raise InputError(f"{location}: expected an HDF5 file, which has groups, got another file")
        if location.content(4) == PARQUET_SIGNATURE:
            from msroi_cli.io.boxes.tabular.parquet import read_parquet

            return read_parquet(location.path, options.columns), Source.of_file(location.path)
    content = read_content(location)
    name = "-" if text == "-" else location.path.name
    return parse(text, content, options), Source.of_bytes(name, content)


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
