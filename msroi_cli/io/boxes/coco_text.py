"""COCO boxes read by the native extension, from the text into columns: no object is made of an annotation.

It gives up where the text is not what it knows; `json_file` then reads it in its own way, or says what is wrong.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from msroi_cli.io.boxes.coco import images_of
from msroi_cli.io.boxes.table import BoxTable
from msroi_cli.io.columns import BOX_COLUMNS, BoxColumns
from msroi_cli.io.files.location import parse_json

try:
    from msroi_cli import _native
except ImportError:  # built without a compiler
    NATIVE = False
else:
    NATIVE = True

SPACE = rb"[ \t\n\r]*"
# Of an object: how it begins, a key without escapes, and what follows a value.
OPENED, KEY, NEXT = (
    re.compile(text) for text in (SPACE + rb"\{", SPACE + rb'"([ !#-\[\]-~]*)"' + SPACE + rb":", SPACE + rb"([,}])")
)
LIST, END = re.compile(SPACE + rb"\["), re.compile(SPACE + rb"\Z")

# Keys that make an object something else than a data set.
OTHERS = (b"bbox", b"boxes")


class _Records(NamedTuple):
    """A list of records that ends at `end`."""

    end: int
    boxes: NDArray[np.float64]
    image: NDArray[np.int64]
    ids: list[str]
    columns: BoxColumns


def coco_table(name: str, content: bytes) -> BoxTable | None:
    """The boxes of a COCO data set or of COCO results; None where they have to be read in another way.

    Raises InputError as the other way does, for what a data set says of its images.
    """
    if not NATIVE:
        return None
    if LIST.match(content):
        records = _records(content, 0)
        if records is None or not END.match(content, records.end):
            return None
        return _table("COCO results", records, {})
    return _data_set(name, content)


def _data_set(name: str, content: bytes) -> BoxTable | None:
    found = OPENED.match(content)
    seen: set[bytes] = set()
    records, others, place = None, [], found.end() if found else 0
    while found:
        key = KEY.match(content, place)
        if key is None or key[1] in seen or key[1] in OTHERS:
            return None
        seen.add(key[1])
        if key[1] == b"annotations":
            records = _records(content, key.end())
            end = -1 if records is None else records.end
        else:
            end = _native.json_value_end(content, key.end())
            others.append(content[key.start() : max(end, 0)])
        found = NEXT.match(content, end) if end >= 0 else None
        if found is None:
            return None
        place = found.end()
        if found[1] == b"}":
            break
    if records is None or not END.match(content, place):
        return None
    return _table("COCO data set", records, images_of(name, parse_json(name, b"{" + b",".join(others) + b"}")))


def _table(kind: str, records: _Records, extra: dict[str, Any]) -> BoxTable:
    return BoxTable(
        kind,
        records.boxes,
        records.image,
        box_format="xywh",
        image_ids=records.ids,
        columns=records.columns,
        **extra,
    )


def _records(content: bytes, start: int) -> _Records | None:
    """The records of the list that begins at `start`."""
    most = content.count(b'"bbox"')
    boxes, image = np.empty((most, 4)), np.empty(most, np.int64)
    values = [np.empty(most, column.dtype) for column in BOX_COLUMNS]
    found = _native.coco_records(content, start, boxes, image, *values)
    if found is None:
        return None
    end, count, ids, present = found
    if any(some not in (0, count) for some in present):
        return None
    columns = {column.name: some[:count] for column, some, has in zip(BOX_COLUMNS, values, present, strict=True) if has}
    return _Records(end, boxes[:count], image[:count], ids, BoxColumns(columns))
