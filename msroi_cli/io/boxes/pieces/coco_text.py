"""COCO boxes read from the text into columns: no object is made of an annotation."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from msroi_cli.extension import NATIVE, native
from msroi_cli.io.boxes.coco import images_of
from msroi_cli.io.boxes.json_file import collector_paused
from msroi_cli.io.boxes.pieces.rows import Reached, Rows
from msroi_cli.io.boxes.pieces.text import Text
from msroi_cli.io.boxes.table import BoxTable
from msroi_cli.io.columns import BOX_COLUMNS, BoxColumns
from msroi_cli.io.files.location import parse_json

SPACES = b" \t\n\r"
SPACE = rb"[ \t\n\r]*"
# Of an object: how it begins, a key without escapes, and what follows a value.
OPENED, KEY, NEXT = (
    re.compile(text) for text in (SPACE + rb"\{", SPACE + rb'"([ !#-\[\]-~]*)"' + SPACE + rb":", SPACE + rb"([,}])")
)
LIST = re.compile(SPACE + rb"\[")
# A key, and spaces around it, are no longer.
LONGEST_KEY = 1 << 12

# Keys that make an object something else than a data set.
OTHERS = (b"bbox", b"boxes")


class _Records(NamedTuple):
    """A list of records."""

    boxes: NDArray[np.float64]
    image: NDArray[np.int32]
    ids: list[str]
    columns: BoxColumns


def coco_table(name: str, text: Text) -> BoxTable | None:
    """The boxes of a COCO data set or of COCO results, whose text begins with what is kept of it.

    None where they have to be read in another way. Raises InputError as that way does, for what a data set says of its
    images; OSError, EOFError or zlib.error for what cannot be read.
    """
    if not NATIVE:
        return None
    if not LIST.match(text.content):
        return _data_set(name, text)
    records = _records(text)
    return _table("COCO results", records, {}) if records is not None and _is_at_end(text) else None


def _data_set(name: str, text: Text) -> BoxTable | None:
    found = _next(text, OPENED)
    seen: set[bytes] = set()
    records, others = None, []
    while found:
        key = _next(text, KEY)
        if key is None or key[1] in seen or key[1] in OTHERS:
            return None
        seen.add(key[1])
        if key[1] == b"annotations":
            records = _records(text)
            if records is None:
                return None
        else:
            value = _value(text)
            if value is None:
                return None
            others.append(key[0] + value)
        found = _next(text, NEXT)
        if found is not None and found[1] == b"}":
            break
    if not found or records is None or not _is_at_end(text):
        return None
    with collector_paused():
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


def _records(text: Text) -> _Records | None:
    """The records of the list that comes next."""
    reader, rows = native.CocoRecords(), Rows()
    before, _ = text.rest()
    while True:
        reached, text.place = reader.read(text.content, text.place, rows.arrays)
        if reached == Reached.END:
            break
        if reached == Reached.END_OF_ROOM:
            done, left = text.rest()
            rows.grow(done - before, left)
        elif reached == Reached.GIVEN_UP or not text.more():
            return None
    count = reader.count()
    if any(some not in (0, count) for some in reader.present()):
        return None
    found = rows.columns(count)
    columns = {one.name: found[one.name] for one, has in zip(BOX_COLUMNS, reader.present(), strict=True) if has}
    return _Records(found["boxes"], found["image"], reader.ids(), BoxColumns(columns))


def _next(text: Text, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
    """What comes next if it is like `pattern`."""
    found = pattern.match(text.content, text.place)
    while found is None and len(text.content) - text.place < LONGEST_KEY and text.more():
        found = pattern.match(text.content, text.place)
    if found is not None:
        text.place = found.end()
    return found


def _value(text: Text) -> bytes | None:
    """The JSON value that comes next."""
    while (end := native.json_value_end(text.content, text.place)) is None:
        if not text.more():
            return None
    if end < 0:
        return None
    value = text.content[text.place : end]
    text.place = end
    return value


def _is_at_end(text: Text) -> bool:
    """Whether nothing comes next but spaces."""
    while not text.content[text.place :].strip(SPACES):
        text.place = len(text.content)
        if not text.more():
            return True
    return False
