"""Exports in Parquet: a row a box; needs pyarrow."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import UsageError
from msroi_cli.io.export.model import FORMAT, FORMAT_VERSION, Export
from msroi_cli.io.files.atomic import failures_named, whole_file

GROUP_BYTES = 16 << 20


def write_parquet(path: Path, export: Export, overwrite: bool) -> None:
    """Columns `image_id`, `box` (4 float32), the other columns, and `features`, a list of fixed size, flattened.

    The shape of the features is in the metadata of the schema, beside the attributes. Row groups are of about 16 MiB.
    Raises UsageError without pyarrow.
    """
    try:
        pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise UsageError("--layout parquet: written with pyarrow: pip install 'msroi[parquet]'") from None
    with whole_file(path, overwrite) as partial, failures_named(path), partial.open("wb") as file:
        # Numbers that hardly repeat are neither compressed nor put into dictionaries.
        options = {"compression": "none", "use_dictionary": ["image_id"]}
        with parquet.ParquetWriter(file, _schema(pyarrow, export), **options) as writer:
            for ids, columns, features in _groups(export):
                arrays = [
                    pyarrow.array(ids, pyarrow.string()),
                    _lists(pyarrow, columns.pop("boxes")),
                    *(pyarrow.array(columns[name]) for name in export.columns),
                    _lists(pyarrow, features.reshape(len(features), -1)),
                ]
                writer.write_table(pyarrow.table(arrays, schema=writer.schema))


def _schema(pyarrow: Any, export: Export) -> Any:
    def number(dtype: Any) -> Any:
        return pyarrow.from_numpy_dtype(dtype)

    fields = [("image_id", pyarrow.string()), ("box", pyarrow.list_(number(np.dtype(np.float32)), 4))]
    fields += [(name, number(np.dtype(dtype))) for name, dtype in export.columns.items()]
    fields.append(("features", pyarrow.list_(number(export.dtype), math.prod(export.shape))))
    metadata = {"format": FORMAT, "format_version": str(FORMAT_VERSION), "shape": json.dumps(list(export.shape))}
    return pyarrow.schema(fields, metadata={**export.attributes, **metadata})


def _lists(pyarrow: Any, values: NDArray[Any]) -> Any:
    """Rows (k, n) as lists of n numbers."""
    return pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(values.ravel()), values.shape[1])


def _groups(export: Export) -> Iterator[tuple[list[str], dict[str, NDArray[Any]], NDArray[Any]]]:
    """Rows of some images: their ids, their boxes and columns, their features."""
    pieces: list[tuple[list[str], dict[str, NDArray[Any]], NDArray[Any]]] = []
    size = 0
    for image in export.images:
        start = 0
        for part in image.features():
            rows = slice(start, start + len(part))
            columns = {name: values[rows] for name, values in {"boxes": image.boxes, **image.columns}.items()}
            pieces.append(([image.id] * len(part), columns, np.asarray(part, export.dtype)))
            start, size = rows.stop, size + part.nbytes
            if size >= GROUP_BYTES:
                yield _joined(pieces)
                pieces, size = [], 0
    if pieces:
        yield _joined(pieces)


def _joined(
    pieces: list[tuple[list[str], dict[str, NDArray[Any]], NDArray[Any]]],
) -> tuple[list[str], dict[str, NDArray[Any]], NDArray[Any]]:
    ids = [name for some, _, _ in pieces for name in some]
    columns = {name: np.concatenate([columns[name] for _, columns, _ in pieces]) for name in pieces[0][1]}
    return ids, columns, np.concatenate([features for _, _, features in pieces])
