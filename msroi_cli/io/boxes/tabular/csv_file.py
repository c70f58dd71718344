"""Boxes in CSV and TSV with a header, by the csv module: the twin of the native reader, which says what is wrong."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.boxes.table import BoxTable
from msroi_cli.io.boxes.tabular.columns import ALIASES, TRAVELLING, TableColumns, find_columns
from msroi_cli.io.boxes.tabular.table import CodedTexts, TableContent, box_table

DELIMITERS = ("\t", ",", ";", "|")
LONGEST_HEADER = 64 << 10


@dataclass(frozen=True, slots=True)
class TableHeader:
    """The first line of a table: the text, the delimiter, the names in it, and what the columns are that are read."""

    line: str
    delimiter: str
    names: list[str]
    columns: TableColumns

    @property
    def kind(self) -> str:
        """The format in words."""
        return "TSV" if self.delimiter == "\t" else "CSV"


def parse_csv(name: str, content: bytes, given: Mapping[str, str] | None = None) -> BoxTable | None:
    """The boxes of a table with a header; None if the first line is no header that is known.

    given: the header's name by our key, "" for a column that is left out, and `delimiter`. Raises InputError that names
    the line, or UsageError for `given` names that are not there.
    """
    header = table_header(name, content, given)
    if header is None:
        return None
    return box_table(name, header.kind, header.columns, read_rows(name, content, header.delimiter, header.columns))


def table_header(name: str, content: bytes, given: Mapping[str, str] | None = None) -> TableHeader | None:
    """The header of a table, of which `content` is at least the first LONGEST_HEADER bytes; as `parse_csv`."""
    named = dict(given or {})
    line = _first_line(content)
    delimiter = named.pop("delimiter", None) or max(DELIMITERS, key=line.count)
    header = next(csv.reader([line], delimiter=delimiter), [])
    known = {alias for names in ALIASES.values() for alias in names}
    if not named and len({column.strip().lower() for column in header} & known) < 2:
        return None
    if len(set(header)) < len(header):
        raise InputError(f"{name}:1: expected different names of columns, got {', '.join(header)[:120]}")
    columns = find_columns(f"{name}:1", header, {"box": "", **named})
    return TableHeader(line, delimiter, header, columns)


def _first_line(content: bytes) -> str:
    """The first line with something in it; empty if the content is no text."""
    start = content[:LONGEST_HEADER].removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
    try:
        return start.split(b"\n", 1)[0].split(b"\r", 1)[0].decode()
    except UnicodeDecodeError:
        return ""


def read_rows(name: str, content: bytes, delimiter: str, columns: TableColumns) -> TableContent:
    """The columns, row by row; raises InputError that names the line that is not like the header."""
    try:
        lines = io.StringIO(content.decode("utf-8-sig"), newline="")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start : error.start + 1]
        raise InputError(f"{name}:{line}: expected UTF-8 text, got {byte!r}") from error
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    rows, numbers = [], []
    try:
        for row in reader:
            if row:
                rows.append(row)
                numbers.append(reader.line_num)
    except csv.Error as error:
        raise InputError(f"{name}:{reader.line_num}: expected a row of a table, got: {error}") from error
    header, *rows = rows
    del numbers[0]
    for number, row in zip(numbers, rows, strict=True):
        if len(row) != len(header):
            raise InputError(f"{name}:{number}: expected {len(header)} columns as in the header, got {len(row)}")
    cells = dict(zip(header, zip(*rows, strict=True) if rows else ((),) * len(header), strict=True))

    def converted(key: str, column: str, convert: Callable[[str], Any]) -> list[Any]:
        return _converted(name, numbers, key, cells[column], convert)

    boxes = [converted("box", column, _coordinate) for column in columns.box]
    return TableContent(
        np.array(boxes, np.float64).reshape(4, -1).T.copy(),
        {key: CodedTexts.of(converted(key, column, _text)) for key, column in columns.texts.items()},
        {key: _array(converted(key, column, _number)) for key, column in columns.numbers.items()},
    )


def _converted(
    name: str, numbers: list[int], key: str, cells: tuple[str, ...], convert: Callable[[str], Any]
) -> list[Any]:
    try:
        return [convert(cell) for cell in cells]
    except ValueError:
        for number, cell in zip(numbers, cells, strict=True):
            try:
                convert(cell)
            except ValueError:
                what = "an image" if convert is _text else "a number"
                hint = f"; --columns {key}= leaves the column out" if key in TRAVELLING else ""
                raise InputError(f"{name}:{number}: expected {what} as {key}, got {cell!r}{hint}") from None
        raise


def _text(cell: str) -> str:
    if not cell:
        raise ValueError(cell)
    return cell


def _coordinate(cell: str) -> float:
    """A number, NaN for nothing."""
    return _float(cell) if cell.strip() else math.nan


def _number(cell: str) -> float | int:
    try:
        return int(cell) if "_" not in cell else _float(cell)
    except ValueError:
        return _float(cell)


def _float(cell: str) -> float:
    if "_" in cell:
        raise ValueError(cell)
    return float(cell)


def _array(values: list[float | int]) -> NDArray[Any]:
    """int64 where all are whole and fit, else float64."""
    try:
        return np.array(values, np.int64 if all(type(value) is int for value in values) else np.float64)
    except OverflowError:
        return np.array(values, np.float64)
