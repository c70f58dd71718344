"""CSV and TSV read from the text into columns."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from typing import Any

from numpy.typing import NDArray

from msroi_cli.extension import NATIVE, native
from msroi_cli.io.boxes.pieces.rows import Reached, Rows
from msroi_cli.io.boxes.pieces.text import Text
from msroi_cli.io.boxes.table import BoxTable
from msroi_cli.io.boxes.tabular.columns import TableColumns
from msroi_cli.io.boxes.tabular.csv_file import DELIMITERS, LONGEST_HEADER, TableHeader, table_header
from msroi_cli.io.boxes.tabular.table import CodedTexts, TableContent, box_table

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# What the native reader calls the columns that it reads, and one that it does not.
ROLES = {
    "image_id": "i",
    "file_name": "n",
    "image_index": "x",
    "score": "s",
    "category_id": "c",
    "annotation_id": "a",
}
NO_ROLE = "."


def csv_table(name: str, text: Text, given: Mapping[str, str] | None = None) -> BoxTable | None:
    """The boxes of a table with a header, whose text begins with what is kept of it.

    None where they have to be read in another way. Raises InputError or UsageError as that way does, for the header;
    OSError, EOFError or zlib.error for what cannot be read.
    """
    header = table_header(name, text.content, given) if NATIVE else None
    roles = _roles(header) if header is not None and _is_plain(header) else None
    if header is None or roles is None or not _take_header(text):
        return None
    content = _content(text, header, roles)
    return None if content is None else box_table(name, header.kind, header.columns, content)


def _is_plain(header: TableHeader) -> bool:
    """Whether a header is a row like any other, with a line of its own."""
    if header.delimiter not in DELIMITERS:
        return False
    try:
        return next(csv.reader([header.line], delimiter=header.delimiter, strict=True), []) == header.names
    except csv.Error:
        return False


def _roles(header: TableHeader) -> str | None:
    """What each column is, a character each; None where one would be two things."""
    columns = header.columns
    if "box" in columns.by_meaning:
        return None
    found = {name: str(number) for number, name in enumerate(columns.box)}
    others = {**columns.texts, **columns.numbers}
    found |= {name: ROLES[key] for key, name in others.items()}
    if len(found) < len(columns.box) + len(others):
        return None
    if "image_id" not in others and "file_name" in others:
        found[others["file_name"]] = ROLES["image_id"]
    return "".join(found.get(name, NO_ROLE) for name in header.names)


def _take_header(text: Text) -> bool:
    """Takes the first line with something in it; False where it is too long, or ends with a return alone."""
    start = len(BYTE_ORDER_MARK) if text.content.startswith(BYTE_ORDER_MARK) else 0
    start = len(text.content) - len(text.content[start:].lstrip(b"\r\n"))
    end = text.content.find(b"\n", start, start + LONGEST_HEADER)
    if end < 0 and len(text.content) - start >= LONGEST_HEADER:
        return False
    end = len(text.content) if end < 0 else end
    if b"\r" in text.content[start:end].removesuffix(b"\r"):
        return False
    text.place = min(end + 1, len(text.content))
    return True


def _content(text: Text, header: TableHeader, roles: str) -> TableContent | None:
    """The columns of the rows that come next."""
    reader, rows = native.CsvRows(header.delimiter, roles), Rows()
    before, _ = text.rest()
    for lines in _lines(text):
        if not _is_utf8(lines):
            return None
        reached, place = reader.read(lines, 0, rows.arrays)
        while reached == Reached.END_OF_ROOM:
            done, left = text.rest()
            rows.grow(done - before, left)
            reached, place = reader.read(lines, place, rows.arrays)
        if reached == Reached.GIVEN_UP:
            return None
    columns = rows.columns(reader.count())
    return TableContent(columns["boxes"], _texts(reader, header.columns, columns), _numbers(header.columns, columns))


def _texts(reader: native.CsvRows, known: TableColumns, columns: Mapping[str, NDArray[Any]]) -> dict[str, CodedTexts]:
    ids = CodedTexts(columns["image"], reader.ids())
    if len(known.texts) < 2:
        return dict.fromkeys(known.texts, ids)
    return {"image_id": ids, "file_name": CodedTexts(columns["name"], reader.names())}


def _numbers(known: TableColumns, columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {key: columns["image" if key == "image_index" else key] for key in known.numbers}


def _lines(text: Text) -> Iterator[bytes]:
    """The text that comes next, in pieces of whole lines."""
    while True:
        stop = text.content.rfind(b"\n", text.place) + 1
        if stop:
            yield text.content[text.place : stop]
            text.place = stop
        if not text.more():
            break
    if text.content:
        yield text.content + b"\n"


def _is_utf8(lines: bytes) -> bool:
    if lines.isascii():
        return True
    try:
        lines.decode()
    except UnicodeDecodeError:
        return False
    return True
