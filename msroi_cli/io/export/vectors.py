"""Exports as one array of all boxes, image after image: `npy` with a text of rows, and `safetensors`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from msroi_cli.io.export.folder import INDEX, whole_folder
from msroi_cli.io.export.model import FORMAT, FORMAT_VERSION, Export, ExportedImage
from msroi_cli.io.files.atomic import failures_named, whole_file

FEATURES, ROWS = "features.npy", "rows.jsonl"


def write_npy(path: Path, export: Export, overwrite: bool) -> None:
    """A folder with `features.npy` (K, ...) and `rows.jsonl`, what each row is of: `image_id`, `box`, the columns."""
    with whole_folder(path, overwrite) as partial, failures_named(path):
        header = {
            "descr": npy.dtype_to_descr(export.dtype),
            "fortran_order": False,
            "shape": (export.total, *export.shape),
        }
        with (partial / FEATURES).open("wb") as features, (partial / ROWS).open("w", encoding="utf-8") as rows:
            npy.write_array_header_1_0(features, header)
            for image in export.images:
                _write_features(features, image, export)
                rows.writelines(_lines(image))
        files = [{"file": name} for name in (FEATURES, ROWS)]
        index = {"format": FORMAT, "format_version": FORMAT_VERSION, "attributes": dict(export.attributes)}
        (partial / INDEX).write_text(json.dumps({**index, "files": files}, indent=1), encoding="utf-8")


def _write_features(file: IO[bytes], image: ExportedImage, export: Export) -> None:
    for part in image.features():
        file.write(np.ascontiguousarray(part, export.dtype).tobytes())


def _lines(image: ExportedImage) -> Iterator[str]:
    columns = {"box": image.boxes, **image.columns}
    for values in zip(*(column.tolist() for column in columns.values()), strict=True):
        row = {"image_id": image.id, **dict(zip(columns, map(plain, values), strict=True))}
        yield json.dumps(row) + "\n"


def plain(value: Any) -> Any:
    """A value as JSON has it; None for a number that JSON does not have."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


# Names of dtypes in safetensors, by NumPy's kind and size.
DTYPES = {"f2": "F16", "f4": "F32", "f8": "F64", "i8": "I64", "i1": "I8"}


def write_safetensors(path: Path, export: Export, overwrite: bool) -> None:
    """Tensors `features` (K, ...), `boxes` (K, 4), `image_index` (K,), `pos_boxes` (N, 2) and the other columns (K,).

    Metadata: `image_ids`, a JSON list, and the attributes.
    Format: the page "Format" of the safetensors documentation; tensors with larger numbers first, so that all are
    aligned.
    """
    ends = np.cumsum(export.counts)
    shapes: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {
        "features": ((export.total, *export.shape), export.dtype),
        "boxes": ((export.total, 4), np.dtype(np.float32)),
        "image_index": ((export.total,), np.dtype(np.int64)),
        "pos_boxes": ((len(ends), 2), np.dtype(np.int64)),
        **{name: ((export.total,), np.dtype(dtype)) for name, dtype in export.columns.items()},
    }
    content, starts = _header(shapes, export)
    with whole_file(path, overwrite) as partial, failures_named(path), partial.open("wb") as file:
        file.write(content)
        file.seek(starts["features"])
        columns: dict[str, list[NDArray[Any]]] = {name: [] for name in ("boxes", *export.columns)}
        for image in export.images:
            _write_features(file, image, export)
            for name, values in {"boxes": image.boxes, **image.columns}.items():
                columns[name].append(values)
        arrays = {name: np.concatenate(parts) for name, parts in columns.items() if parts}
        arrays["image_index"] = np.repeat(np.arange(len(ends)), export.counts)
        arrays["pos_boxes"] = np.column_stack([ends - export.counts, ends])
        for name, array in arrays.items():
            file.seek(starts[name])
            file.write(np.ascontiguousarray(array, shapes[name][1].newbyteorder("<")).tobytes())


def _header(
    shapes: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]], export: Export
) -> tuple[bytes, dict[str, int]]:
    """The beginning of the file, and where each tensor starts."""
    metadata = {**export.attributes, "format": FORMAT, "image_ids": json.dumps(export.image_ids)}
    header: dict[str, Any] = {"__metadata__": {**metadata, "format_version": str(FORMAT_VERSION)}}
    offset, offsets = 0, {}
    for name, (shape, dtype) in sorted(shapes.items(), key=lambda item: -item[1][1].itemsize):
        end = offset + math.prod(shape) * dtype.itemsize
        header[name] = {"dtype": DTYPES[dtype.str[1:]], "shape": list(shape), "data_offsets": [offset, end]}
        offsets[name], offset = offset, end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, {name: 8 + len(text) + start for name, start in offsets.items()}
