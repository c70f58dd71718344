"""Boxes that a program holds: an array, arrays by image id, or a table with named columns."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.boxes.table import BoxTable, whole_numbers
from msroi_cli.io.columns import BOX_COLUMNS, BoxColumns
from msroi_cli.io.files.location import Source
from msroi_cli.io.numbers import as_float64

# What the four numbers of a table's rows may be called, and what they then mean.
CORNERS = {
    ("x1", "y1", "x2", "y2"): "xyxy",
    ("x", "y", "w", "h"): "xywh",
    ("cx", "cy", "w", "h"): "cxcywh",
}
IMAGE_COLUMNS = ("image_id", "image", "file_name")
EXPECTED = "an array (K, 5) of image index x1 y1 x2 y2, arrays (k, 4) by image id, or a table with named columns"

# The names that torchvision's detectors give.
TORCHVISION = {"score": "scores", "category_id": "labels", "annotation_id": "ids"}


def boxes_of_object(value: Any) -> tuple[BoxTable, Source]:
    """The boxes of an array, a mapping or a table, and a source that stands for their values.

    A table is anything with `columns` or `column_names` whose columns have `to_numpy`: pandas, Arrow, polars.
    Raises InputError that says what was expected.
    """
    if isinstance(value, Mapping):
        table = _by_image(value)
    elif hasattr(value, "column_names") or hasattr(value, "columns"):
        table = _of_columns(value)
    else:
        table = _rows(value)
    digest = hashlib.sha256()
    for name, array in {"boxes": table.boxes, "image": table.image, **table.columns}.items():
        digest.update(name.encode() + array.tobytes())
    digest.update("\0".join([table.box_format, *(table.image_ids or ())]).encode(errors="surrogatepass"))
    return table, Source("boxes", table.boxes.nbytes, "sha256:" + digest.hexdigest())


def _rows(value: Any) -> BoxTable:
    rows = _numbers("boxes", value, 5)
    return BoxTable("array", rows[:, 1:], whole_numbers("boxes", rows[:, 0], "image index"))


def _by_image(value: Mapping[Any, Any]) -> BoxTable:
    """Of {id: (k, 4)}, or of {id: {"boxes": (k, 4), "scores": (k,), "labels": (k,)}}."""
    ids, parts, columns = [], [], []
    for key, some in value.items():
        where = f"boxes[{key!r}]"
        if type(key) not in (int, str):
            raise InputError(f"{where}: expected an image id, a whole number or a text, got {type(key).__name__}")
        found = some if isinstance(some, Mapping) else {"boxes": some}
        if "boxes" not in found:
            raise InputError(f"{where}: expected boxes, got only {', '.join(map(str, found)) or 'nothing'}")
        ids.append(str(key))
        parts.append(_numbers(where, found["boxes"], 4))
        named = {name: found.get(name, found.get(other)) for name, other in TORCHVISION.items()}
        columns.append(_columns(where, named, len(parts[-1])))
    if len(set(ids)) < len(ids):
        raise InputError("boxes: expected different image ids, got a number and a text that are alike")
    for name in dict.fromkeys(name for some in columns for name in some):
        if not all(name in some for some in columns):
            raise InputError(f"boxes: expected {name} for all images or for none, got it for some")
    image = np.repeat(np.arange(len(ids)), [len(part) for part in parts])
    boxes = np.concatenate(parts) if parts else np.empty((0, 4))
    return BoxTable("arrays by image", boxes, image, image_ids=ids, columns=BoxColumns.joined(columns))


def _of_columns(value: Any) -> BoxTable:
    names = [str(name) for name in getattr(value, "column_names", getattr(value, "columns", ()))]
    corners = next((known for known in CORNERS if set(known) <= set(names)), None)
    image = next((name for name in (*IMAGE_COLUMNS, "image_index") if name in names), None)
    if corners is None or image is None:
        raise InputError(
            f"boxes: expected a column image_id, image, file_name or image_index and columns "
            f"{', or '.join(' '.join(known) for known in CORNERS)}, got {', '.join(names) or 'none'}"
        )
    boxes = np.stack([_numbers(f"boxes[{name!r}]", value[name].to_numpy()) for name in corners], axis=1)
    named = {name: value[name].to_numpy() if name in names else None for name in TORCHVISION}
    columns = _columns("boxes", named, len(boxes))
    numbers = value[image].to_numpy()
    if image == "image_index":
        index = whole_numbers("boxes['image_index']", _numbers("boxes['image_index']", numbers), "image index")
        return BoxTable("table", boxes, index, CORNERS[corners], columns=columns)
    ids, codes = _ids(image, numbers)
    return BoxTable("table", boxes, codes, CORNERS[corners], image_ids=ids, columns=columns)


def _ids(name: str, values: NDArray[Any]) -> tuple[list[str], NDArray[np.int64]]:
    """The different ids of a column as texts, and the index of each row's."""
    known: dict[Any, int] = {}
    codes = [known.setdefault(value, len(known)) for value in values.tolist()]
    for value in known:
        if type(value) not in (int, str):
            raise InputError(f"boxes[{name!r}]: expected whole numbers or texts, got {value!r}")
    return [str(value) for value in known], np.array(codes, dtype=np.int64)


def _columns(where: str, values: Mapping[str, Any], count: int) -> BoxColumns:
    found: dict[str, NDArray[Any]] = {}
    for column in BOX_COLUMNS:
        value = values.get(column.name)
        if value is not None:
            array = _numbers(f"{where}: {column.name}", value)
            if len(array) != count:
                raise InputError(f"{where}: {column.name}: expected {count} values, one a box, got {len(array)}")
            found[column.name] = whole_numbers(where, array, column.name) if column.dtype.kind == "i" else array
    return BoxColumns(found)


def _numbers(where: str, value: Any, width: int | None = None) -> NDArray[np.float64]:
    """Numbers (K,), or (K, width), as float64; tensors are fetched from their device."""
    try:
        value = value.detach().cpu() if hasattr(value, "detach") else value
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{where}: expected numbers, got {type(value).__name__} ({error})") from error
    if width is not None and array.size == 0 and array.ndim < 2:
        array = np.empty((0, width))
    wanted = "(K,)" if width is None else f"(K, {width})"
    if array.dtype.kind not in "fiu" or array.shape[1:] != (() if width is None else (width,)) or not array.ndim:
        actual = f"{array.shape} {array.dtype}" if array.dtype.kind != "O" else type(value).__name__
        hint = f"; boxes are {EXPECTED}" if width == 5 else ""
        raise InputError(f"{where}: expected numbers {wanted}, got {actual}{hint}")
    return as_float64(array)
