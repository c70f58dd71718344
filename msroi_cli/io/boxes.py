"""Box files: every format is read into one `BoxTable`, boxes as they stand in the file, in the file's order."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.location import Location, Source
from msroi_cli.io.pyramid import read_json

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class BoxTable:
    """K boxes as a file gives them.

    kind: the format found, in words. box_format: how the four numbers are meant unless the user says otherwise.
    boxes: (K, 4) float64. image: (K,) int64, indices into `image_ids`, or into the pyramid's images if that is None.
    score: (K,) float64, category_id and annotation_id: (K,) int64, or None where the file has none.
    file_names and image_sizes (width, height): what a COCO data set says of its images, by image id.
    """

    kind: str
    boxes: NDArray[np.float64]
    image: NDArray[np.int64]
    box_format: str = "xyxy"
    image_ids: list[str] | None = None
    score: NDArray[np.float64] | None = None
    category_id: NDArray[np.int64] | None = None
    annotation_id: NDArray[np.int64] | None = None
    file_names: Mapping[str, str] = field(default_factory=dict)
    image_sizes: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def read_boxes(text: str) -> tuple[BoxTable, Source]:
    """Reads the boxes of `FILE`, `FILE::/group` (HDF5) or `-`, standard input (JSON or JSON Lines).

    Raises InputError that says where the file is not what it should be.
    """
    if text == "-":
        content = sys.stdin.buffer.read()
        if content.startswith(HDF5_SIGNATURE):
            raise InputError("-: expected JSON or JSON Lines on standard input, got HDF5; name the file instead")
        return parse_boxes("-", content), Source.of_bytes("-", content)
    location = Location.parse(text)
    if is_hdf5(location):
        from msroi_cli.io.boxes_hdf5 import read_hdf5_boxes

        return read_hdf5_boxes(location), Source.of_file(location.path)
    try:
        content = location.path.read_bytes()
    except OSError as error:
        raise InputError(f"{text}: cannot be read: {error.strerror or error}") from error
    return parse_boxes(text, content), Source.of_bytes(location.path.name, content)


def is_hdf5(location: Location) -> bool:
    """Whether a file is HDF5, or must be because a group inside is meant; raises InputError if it cannot be read."""
    # The signature stands at 0, 512, 1024, 2048 ... behind a user block; JSON never holds its first byte.
    try:
        with location.path.open("rb") as file:
            if file.read(8) == HDF5_SIGNATURE:
                return True
            size, start = file.seek(0, 2), 512
            while start < size:
                file.seek(start)
                if file.read(8) == HDF5_SIGNATURE:
                    return True
                start *= 2
    except OSError as error:
        raise InputError(f"{location.path}: cannot be read: {error.strerror or error}") from error
    return location.group != "/"


def parse_boxes(name: str, content: bytes) -> BoxTable:
    """Parses JSON or JSON Lines; `name` is the file's, for messages."""
    with collector_paused():
        return boxes_of(name, box_document(name, content))


@contextmanager
def collector_paused() -> Iterator[None]:
    """Millions of new lists and no rings among them: the collector would take half the time, and find nothing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def box_document(name: str, content: bytes) -> Any:
    """The JSON values of a document, or of the lines of JSON Lines."""
    if not content.strip():
        raise InputError(f"{name}: expected boxes in JSON or JSON Lines, got an empty file")
    return _json_or_lines(name, content)


def boxes_of(name: str, data: Any) -> BoxTable:
    """The boxes that JSON values are; raises InputError where they are none."""
    for fits, parse in _SHAPES:
        if fits(data):
            return parse(name, data)
    came = f"an object with {', '.join(list(data)[:4])}" if isinstance(data, dict) else type(data).__name__
    raise InputError(
        f"{name}: expected rows [i, x1, y1, x2, y2], a COCO data set, COCO results or "
        f'{{"image id": [[x1, y1, x2, y2], ...]}}, got {came}'
    )


def _json_or_lines(name: str, content: bytes) -> Any:
    """The document; for JSON Lines, the list of its lines' values."""
    try:
        data = json.loads(content)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            lines = content.splitlines()
            if len(lines) < 2 or not _parses(lines[0]):
                raise InputError(f"{name}:{error.lineno}:{error.colno}: expected JSON, got: {error.msg}") from error
        return [
            read_json(f"{name}:{number}", line)
            for number, line in enumerate(content.splitlines(), start=1)
            if line.strip()
        ]
    except (UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{name}: expected JSON, got: {error}") from error
    return [data] if _is_single_line(data) else data


def _parses(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _is_single_line(data: Any) -> bool:
    """Whether a document is one row or one COCO result: JSON Lines of one line."""
    if isinstance(data, dict):
        return "bbox" in data
    return isinstance(data, list) and len(data) == 5 and all(isinstance(v, (int, float)) for v in data)


def _parse_rows(name: str, rows: list[Any]) -> BoxTable:
    table = numbers(name, rows, 5, "[i, x1, y1, x2, y2]")
    return BoxTable("rows", table[:, 1:], whole_numbers(name, table[:, 0], "image index"))


def _parse_id_map(name: str, groups: dict[str, Any]) -> BoxTable:
    ids = list(groups)
    parts = [numbers(f"{name}: {key!r}", groups[key], 4, "[x1, y1, x2, y2]") for key in ids]
    image = np.repeat(np.arange(len(ids)), [len(part) for part in parts])
    return BoxTable("boxes by image id", np.concatenate([np.empty((0, 4)), *parts]), image, image_ids=ids)


def numbers(where: str, rows: Any, width: int, like: str) -> NDArray[np.float64]:
    """Rows of `width` numbers as float64; raises InputError that names the first row that is not."""
    try:
        table = np.array(rows, dtype=np.float64)
        if table.shape == (len(rows), width) or not len(rows):
            return table.reshape(len(rows), width)
    except (TypeError, ValueError, OverflowError):
        pass
    if isinstance(rows, list):
        for index, row in enumerate(rows):
            try:
                fits = isinstance(row, list) and np.array(row, dtype=np.float64).shape == (width,)
            except (TypeError, ValueError, OverflowError):
                fits = False
            if not fits:
                raise InputError(f"{where}: row {index}: expected {like}, got {shortened(row)}")
    raise InputError(f"{where}: expected a list of {like}, got {shortened(rows)}")


def whole_numbers(where: str, values: NDArray[Any], what: str) -> NDArray[np.int64]:
    """Values that must be whole, as int64; raises InputError that names the first that is not."""
    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    bad = np.flatnonzero(~(np.abs(values) < 2.0**53) | (values != np.floor(values)))
    if bad.size:
        raise InputError(f"{where}: row {bad[0]}: expected a whole number as {what}, got {values[bad[0]]:g}")
    return values.astype(np.int64)


def shortened(value: Any) -> str:
    """A value as JSON on one short line."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _is_rows(data: Any) -> bool:
    return isinstance(data, list) and (not data or isinstance(data[0], list))


def _is_results(data: Any) -> bool:
    return isinstance(data, list) and isinstance(data[0], dict)


def _is_data_set(data: Any) -> bool:
    return isinstance(data, dict) and "annotations" in data


def _is_id_map(data: Any) -> bool:
    return isinstance(data, dict) and all(isinstance(rows, list) for rows in data.values())


def _parse_data_set(name: str, data: Any) -> BoxTable:
    from msroi_cli.io.coco import parse_data_set

    return parse_data_set(name, data)


def _parse_results(name: str, data: Any) -> BoxTable:
    from msroi_cli.io.coco import parse_results

    return parse_results(name, data)


_SHAPES: list[tuple[Callable[[Any], bool], Callable[[str, Any], BoxTable]]] = [
    (_is_rows, _parse_rows),
    (_is_results, _parse_results),
    (_is_data_set, _parse_data_set),
    (_is_id_map, _parse_id_map),
]
