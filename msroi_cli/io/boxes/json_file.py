"""Boxes in JSON and JSON Lines: rows, COCO, or lists by image id."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from msroi_cli.errors import InputError
from msroi_cli.io.boxes.coco import parse_data_set, parse_results
from msroi_cli.io.boxes.content import is_stream
from msroi_cli.io.boxes.detections import is_detections, parse_detections
from msroi_cli.io.boxes.table import BoxTable, numbers, plain_numbers, shortened, whole_numbers
from msroi_cli.io.files.location import Location, different_keys, parse_json

# What is read of an annotation.
READ_KEYS = ("bbox", "id", "image_id", "score", "category_id")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


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
        if is_stream(Location.parse(name)):
            # JSON Lines without a line: a detector that found nothing.
            return []
        raise InputError(f"{name}: expected boxes in JSON or JSON Lines, got an empty file")
    return _json_or_lines(name, content)


def boxes_of(name: str, data: Any) -> BoxTable:
    """The boxes that JSON values are; raises InputError where they are none."""
    if _is_rows(data):
        return _parse_rows(name, data)
    if is_detections(data):
        return parse_detections(name, data)
    if isinstance(data, list) and isinstance(data[0], dict):
        return parse_results(name, data)
    if isinstance(data, dict) and "annotations" in data:
        return parse_data_set(name, data)
    if isinstance(data, dict) and all(isinstance(rows, list) for rows in data.values()):
        return _parse_id_map(name, data)
    actual = f"an object with {', '.join(list(data)[:4])}" if isinstance(data, dict) else shortened(data)
    raise InputError(
        f"{name}: expected rows [i, x1, y1, x2, y2], a COCO data set, COCO results, "
        f'{{"image id": [[x1, y1, x2, y2], ...]}} or [{{"image_id", "boxes", "scores", "labels"}}, ...], got {actual}'
    )


def _json_or_lines(name: str, content: bytes) -> Any:
    """The document; for JSON Lines, the list of its lines' values."""
    try:
        data = json.loads(content, object_pairs_hook=partial(_without_details, name))
    except InputError:
        raise
    except (ValueError, RecursionError):
        numbered = enumerate(content.removeprefix(BYTE_ORDER_MARK).splitlines(), start=1)
        lines = [(number, line) for number, line in numbered if line.strip()]
        if len(lines) > 1 and _parses(lines[0][1]):
            return [_line(name, number, line) for number, line in lines]
        return parse_json(name, content)
    return [data] if _is_single_line(data) else data


def _without_details(name: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, without what an annotation has besides its box and its numbers, as soon as it is parsed.

    The outlines of a large COCO file would need several times the memory of everything else.
    Raises InputError for a key that is there twice.
    """
    record = different_keys(name, pairs)
    if "bbox" in record and isinstance(record.get("image_id"), (int, str)):
        for key, value in record.items():
            if key not in READ_KEYS and isinstance(value, (list, dict)):
                record[key] = None
    return record


def _line(name: str, number: int, line: bytes) -> Any:
    try:
        return json.loads(line, object_pairs_hook=partial(_without_details, f"{name}:{number}"))
    except InputError:
        raise
    except json.JSONDecodeError as error:
        raise InputError(f"{name}:{number}:{error.colno}: expected JSON, got: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name}:{number}: expected JSON, got: {error}") from error


def _parses(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _is_single_line(data: Any) -> bool:
    """Whether a document is one row or one COCO result: JSON Lines of one line."""
    if isinstance(data, dict):
        return "bbox" in data or ("boxes" in data and "image_id" in data)
    return isinstance(data, list) and len(data) == 5 and all(isinstance(v, (int, float)) for v in data)


def _parse_rows(name: str, rows: list[Any]) -> BoxTable:
    table = numbers(name, rows, 5, "[i, x1, y1, x2, y2]")
    return BoxTable("rows", table[:, 1:], whole_numbers(name, table[:, 0], "image index"))


def _parse_id_map(name: str, groups: dict[str, Any]) -> BoxTable:
    ids = list(groups)
    boxes = plain_numbers(list(chain.from_iterable(groups.values())), 4)
    if boxes is None:
        # Image by image, to name the one that has others.
        parts = [numbers(f"{name}: {key!r}", groups[key], 4, "[x1, y1, x2, y2]") for key in ids]
        boxes = np.concatenate(parts)
    image = np.repeat(np.arange(len(ids)), [len(rows) for rows in groups.values()])
    return BoxTable("boxes by image id", boxes, image, image_ids=ids)


def _is_rows(data: Any) -> bool:
    return isinstance(data, list) and (not data or isinstance(data[0], list))
