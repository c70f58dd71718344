"""Boxes in Parquet, a table with named columns; needs pyarrow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError, UsageError
from msroi_cli.io.boxes.table import BoxTable
from msroi_cli.io.boxes.tabular.columns import TableColumns, find_columns
from msroi_cli.io.boxes.tabular.table import CodedTexts, TableContent, box_table
from msroi_cli.io.numbers import as_float64


def read_parquet(path: Path, given: Mapping[str, str] | None = None) -> BoxTable:
    """The boxes of a Parquet file: columns as in CSV, or `box`, lists of x1 y1 x2 y2.

    Raises UsageError without pyarrow, InputError for columns of other types or with missing values.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise UsageError(f"{path}: Parquet is read with pyarrow: pip install 'msroi[parquet]'") from None
    try:
        with parquet.ParquetFile(path) as file:
            columns = find_columns(str(path), file.schema_arrow.names, given)
            wanted = {*columns.box, *columns.texts.values(), *columns.numbers.values()}
            table = file.read(columns=sorted(wanted))
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: expected a Parquet file, got: {str(error).splitlines()[0]}") from error
    content = TableContent(
        _boxes(path, table, columns),
        {key: _texts(f"{path}: {name}", table[name]) for key, name in columns.texts.items()},
        {key: _numbers(f"{path}: {name}", table[name]) for key, name in columns.numbers.items()},
    )
    return box_table(str(path), "Parquet", columns, content)


def _boxes(path: Path, table: Any, columns: TableColumns) -> NDArray[np.float64]:
    """The four numbers of each box, (K, 4); missing ones are NaN."""
    if "box" not in columns.by_meaning:
        numbers = [_numbers(f"{path}: {name}", table[name], missing=True) for name in columns.box]
        return as_float64(np.column_stack(numbers)).reshape(-1, 4)
    import pyarrow as pa
    import pyarrow.compute as pc

    (name,) = columns.box
    column = table[name].combine_chunks()
    lists = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    if not (lists or pa.types.is_fixed_size_list(column.type)) or column.null_count:
        raise InputError(f"{path}: {name}: expected a list of x1 y1 x2 y2 in each row, got {column.type}")
    if not pc.all(pc.equal(pc.list_value_length(column), 4)).as_py() and len(column):
        raise InputError(f"{path}: {name}: expected lists of 4 numbers, got others")
    return as_float64(_numbers(f"{path}: {name}", column.flatten(), missing=True)).reshape(-1, 4)


def _numbers(where: str, column: Any, *, missing: bool = False) -> NDArray[Any]:
    """A column of whole or floating numbers; `missing` ones become NaN, if they may be there."""
    import pyarrow as pa

    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise InputError(f"{where}: expected a column of numbers, got {column.type}")
    if column.null_count and not missing:
        raise InputError(f"{where}: expected a number in each row, got {column.null_count} rows without one")
    values = column.to_numpy(zero_copy_only=False) if isinstance(column, pa.Array) else column.to_numpy()
    return np.asarray(values)


def _texts(where: str, column: Any) -> CodedTexts:
    """A column of whole numbers or texts, as texts."""
    import pyarrow as pa

    plain = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_integer(plain) or pa.types.is_string(plain) or pa.types.is_large_string(plain)):
        raise InputError(f"{where}: expected a column of whole numbers or texts, got {column.type}")
    if column.null_count:
        raise InputError(f"{where}: expected an image in each row, got {column.null_count} rows without one")
    coded = column.cast(plain).dictionary_encode().unify_dictionaries().combine_chunks()
    if not len(column):
        return CodedTexts(np.empty(0, np.int64), [])
    return CodedTexts(coded.indices.to_numpy().astype(np.int64), [str(value) for value in coded.dictionary.to_pylist()])
