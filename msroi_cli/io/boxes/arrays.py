"""Boxes in NumPy's formats: NPY with rows, NPZ with `rois`, or `boxes` and the image of each."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.boxes.table import BoxTable, refuse_other_index, whole_numbers
from msroi_cli.io.columns import BOX_COLUMNS, BoxColumns
from msroi_cli.io.npy import npy_header
from msroi_cli.io.numbers import as_float64

EXPECTED = "expected rois (K, 5), or boxes (K, 4) with image_ids or image_index"
READ = ("rois", "boxes", "image_ids", "image_id", "image_index", *chain.from_iterable(one.names for one in BOX_COLUMNS))
"""The arrays of an NPZ file that are read."""


def parse_npy(name: str, content: bytes) -> BoxTable:
    """Rows (K, 5): image index, x1 y1 x2 y2."""
    rows = _numbers(name, _loaded(name, content), 5)
    return BoxTable("NPY rows", rows[:, 1:], whole_numbers(name, rows[:, 0], "image index"))


def parse_npz(name: str, content: bytes) -> BoxTable:
    """`rois` (K, 5), or `boxes` (K, 4) with `image_ids` or `image_index` (K,); `score`, `category_id` beside them."""
    arrays = _archived(name, content)
    if "rois" in arrays and "boxes" in arrays:
        raise InputError(f"{name}: expected rois or boxes, got both")
    if "rois" in arrays:
        rois = _numbers(f"{name}: rois", arrays["rois"], 5)
        image, ids = whole_numbers(f"{name}: rois", rois[:, 0], "image index"), None
        if "image_index" in arrays:
            refuse_other_index(f"{name}: image_index", image, _beside(name, arrays["image_index"], len(rois), "iuf"))
        boxes = rois[:, 1:]
    elif "boxes" in arrays:
        boxes = _numbers(f"{name}: boxes", arrays["boxes"], 4)
        image, ids = _images(name, arrays, len(boxes))
    else:
        raise InputError(f"{name}: {EXPECTED}, got {', '.join(arrays)}")
    stated = _stated_ids(name, arrays) if "rois" in arrays else None
    columns = _columns(name, arrays, len(boxes))
    each = stated is not None and len(stated) == len(boxes)
    return BoxTable("NPZ boxes", boxes, image, image_ids=ids, columns=columns, stated_ids=stated, stated_each=each)


def _loaded(name: str, content: bytes) -> NDArray[Any]:
    """The array of an NPY file; raises InputError."""
    with _refusing(name):
        return _array(io.BytesIO(content), len(content), name)


def _archived(name: str, content: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of an NPZ file that are read; raises InputError."""
    with _refusing(name), zipfile.ZipFile(io.BytesIO(content)) as archive:
        infos = {info.filename: info for info in archive.infolist()}
        if len(infos) < len(archive.infolist()):
            raise InputError(f"{name}: expected each array once, got one twice")
        if not {f"{key}.npy" for key in READ} & set(infos):
            came = ", ".join(key.removesuffix(".npy") for key in list(infos)[:5]) or "no arrays"
            raise InputError(f"{name}: {EXPECTED}, got {came}")
        arrays = {}
        for key in READ:
            if (info := infos.get(f"{key}.npy")) is not None:
                with archive.open(info) as file:
                    arrays[key] = _array(file, info.file_size, f"{name}: {key}")
    return arrays


def _array(file: IO[bytes], size: int, where: str) -> NDArray[Any]:
    npy_header(file, size, where)
    file.seek(0)
    array: NDArray[Any] = npy.read_array(file, allow_pickle=False)
    return array


@contextmanager
def _refusing(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{name}: expected arrays of numbers in NumPy's format, got: {error}") from error


def _numbers(where: str, values: NDArray[Any], width: int) -> NDArray[np.float64]:
    if values.size == 0 and values.ndim in (1, 2):
        return np.empty((0, width))
    if values.ndim != 2 or values.shape[1] != width or values.dtype.kind not in "fiu":
        raise InputError(f"{where}: expected (K, {width}) numbers, got {values.shape} {values.dtype}")
    return as_float64(values)


def _images(name: str, arrays: dict[str, NDArray[Any]], count: int) -> tuple[NDArray[np.int64], list[str] | None]:
    """The image of each box, and the image ids unless they are indices."""
    found = [key for key in ("image_ids", "image_id", "image_index") if key in arrays]
    if len(found) != 1:
        came = " and ".join(found) or "none of them"
        raise InputError(f"{name}: expected image_ids or image_index ({count},) beside boxes, got {came}")
    values = _beside(f"{name}: {found[0]}", arrays[found[0]], count, "iuU" if found[0] != "image_index" else "iuf")
    if found[0] == "image_index":
        return whole_numbers(f"{name}: image_index", values, "image index"), None
    different, codes = np.unique(values, return_inverse=True)
    return codes.astype(np.int64), [str(value) for value in different.tolist()]


def _stated_ids(name: str, arrays: dict[str, NDArray[Any]]) -> list[str] | None:
    """The ids of images that stand beside `rois`; None if there are none."""
    found = [key for key in ("image_ids", "image_id") if key in arrays]
    if not found:
        return None
    ids = arrays[found[0]]
    if len(found) > 1 or ids.ndim != 1 or ids.dtype.kind not in "iuU":
        raise InputError(f"{name}: expected one list of image ids beside rois, got {' and '.join(found)} {ids.shape}")
    return [str(key) for key in ids.tolist()]


def _columns(name: str, arrays: dict[str, NDArray[Any]], count: int) -> BoxColumns:
    columns = {}
    for column in BOX_COLUMNS:
        found = column.name_in(name, arrays)
        if found:
            values = _beside(f"{name}: {found}", arrays[found], count, "iuf")
            whole = column.dtype.kind == "i"
            columns[column.name] = whole_numbers(name, values, column.name) if whole else as_float64(values)
    return BoxColumns(columns)


def _beside(where: str, values: NDArray[Any], count: int, kinds: str) -> NDArray[Any]:
    if values.shape != (count,) or values.dtype.kind not in kinds:
        raise InputError(f"{where}: expected ({count},) values, one a box, got {values.shape} {values.dtype}")
    return values
