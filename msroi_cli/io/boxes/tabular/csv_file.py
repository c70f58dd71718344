"""Boxes in CSV and TSV with a header: by pyarrow where it is installed, else by the csv module, to the same result."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.boxes.table import BoxTable
from msroi_cli.io.boxes.tabular.columns import ALIASES, TRAVELLING, TableColumns, find_columns
from msroi_cli.io.boxes.tabular.table import CodedTexts, TableContent, box_table

DELIMITERS = ("\t", ",", ";", "|")
LONGEST_HEADER = 64 << 10


def parse_csv(name: str, content: bytes, given: Mapping[str, str] | None = None) -> BoxTable | None:
    """The boxes of a table with a header; None if the first line is no header that is known.

    given: the header's name by our key, "" for a column that is left out, and `delimiter`. Raises InputError that names
    the line, or UsageError for `given` names that are not there.
    """
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
    table = read_with_arrow(content, delimiter, columns) or read_rows(name, content, delimiter, columns)
    return box_table(name, "TSV" if delimiter == "\t" else "CSV", columns, table)


def _first_line(content: bytes) -> str:
    """The first line with something in it; empty if the content is no text."""
    start = content[:LONGEST_HEADER].removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
    try:
        return start.split(b"\n", 1)[0].rstrip(b"\r").decode()
    except UnicodeDecodeError:
        return ""


def read_with_arrow(content: bytes, delimiter: str, columns: TableColumns) -> TableContent | None:
    """The columns as pyarrow reads them; None without pyarrow, or for what is better said by `read_rows`."""
    try:
        import pyarrow as pa
        from pyarrow import csv as arrow_csv
    except ImportError:
        return None
    text = pa.dictionary(pa.int32(), pa.string())
    types = {header: text for key, header in columns.texts.items()}
    types |= {header: pa.float64() for header in columns.box}
    types |= {header: pa.float64() if key == "score" else pa.int64() for key, header in columns.numbers.items()}
    try:
        table = arrow_csv.read_csv(
            pa.py_buffer(content),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter),
            convert_options=arrow_csv.ConvertOptions(
                column_types=types, include_columns=list(types), null_values=[""], strings_can_be_null=True
            ),
        )
    except pa.ArrowException:
        return None
    others = [table[header] for header in (*columns.texts.values(), *columns.numbers.values())]
    if any(column.null_count for column in others):
        return None
    return TableContent(
        np.column_stack([table[header].to_numpy() for header in columns.box]).reshape(-1, 4),
        {key: _coded(table[header]) for key, header in columns.texts.items()},
        {key: table[header].to_numpy() for key, header in columns.numbers.items()},
    )


def _coded(column: Any) -> CodedTexts:
    """A dictionary column of pyarrow."""
    array = column.unify_dictionaries().combine_chunks()
    if not len(column):
        return CodedTexts(np.empty(0, np.int64), [])
    return CodedTexts(array.indices.to_numpy().astype(np.int64), array.dictionary.to_pylist())


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
