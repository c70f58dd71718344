"""Exports for code made for bottom-up-attention features: `bua`, an NPZ file an image, and `ban`, HDF5 and a pickle."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.export.files import write_archives
from msroi_cli.io.export.model import FORMAT, FORMAT_VERSION, Export, ExportedImage, image_size
from msroi_cli.io.files.atomic import failures_named, whole_file, write_whole
from msroi_cli.io.hdf5.write import fixed_texts, hdf5_file, set_texts

# The names of columns in `info`, as extract_features.py of bottom-up-attention.pytorch writes them.
INFO = {"category_id": "objects_id", "score": "objects_conf"}


def write_bua(path: Path, export: Export, overwrite: bool) -> None:
    """A folder with one file an image: `x` (k, C) float32, `bbox` (k, 4), `num_bbox`, `image_h`, `image_w`, `info`.

    Source: `save_roi_features` of bottom-up-attention.pytorch. `info` is an object, as there: NumPy reads it with
    allow_pickle. Names of files as in `npz`.
    """
    write_archives(path, export, overwrite, _write_archive)


def _write_archive(path: Path, image: ExportedImage, export: Export) -> None:
    width, height = map(_whole, image_size(image, "bua"))
    count = len(image.boxes)
    info: dict[str, Any] = {"image_id": image.id, "image_h": height, "image_w": width, "num_boxes": count}
    info.update({name: image.columns[column] for column, name in INFO.items() if column in image.columns})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        with archive.open("x.npy", "w", force_zip64=True) as member:
            header = {"descr": "<f4", "fortran_order": False, "shape": (count, *export.shape)}
            npy.write_array_header_1_0(member, header)
            for part in image.features():
                member.write(np.ascontiguousarray(part, "<f4").tobytes())
        arrays = {"bbox": image.boxes, "num_bbox": count, "image_h": height, "image_w": width}
        for name, value in {**arrays, "info": np.array(info, dtype=object)}.items():
            with archive.open(f"{name}.npy", "w") as member:
                npy.write_array(member, np.asanyarray(value), allow_pickle=name == "info")


def _whole(side: float) -> int | float:
    return int(side) if float(side).is_integer() else float(side)


def id_map_path(path: Path) -> Path:
    """The pickle beside a file of the layout `ban`: `train_imgid2idx.pkl` beside `train.hdf5`."""
    return path.with_name(f"{path.stem}_imgid2idx.pkl")


def write_ban(path: Path, export: Export, overwrite: bool) -> None:
    """HDF5 of float32: `image_features` (K, C), `image_bb` (K, 4), `spatial_features` (K, 6), `pos_boxes` (N, 2) int32.

    spatial_features: x1, y1, x2, y2, width and height of each box in fractions of the image. Beside it, a pickle of
    {image id: row of pos_boxes}; ids are numbers if all of them are. Both are whole or absent.
    Source: tools/adaptive_detection_features_converter.py and dataset.py of ban-vqa (Kim et al., "Bilinear Attention
    Networks", 2018). Raises InputError for ids that are the same number.
    """
    ids = _ids(path, export.image_ids)
    with whole_file(path, overwrite) as partial, failures_named(path):
        with hdf5_file(partial) as file:
            file.attrs["format_version"] = FORMAT_VERSION
            set_texts(file, {"format": FORMAT, "layout": "ban", **export.attributes})
            _write_rows(file, export)
        numbers = {key: index for index, key in enumerate(ids)}
        write_whole(id_map_path(path), pickle.dumps(numbers, protocol=2), overwrite)


def _write_rows(file: h5py.File, export: Export) -> None:
    shapes: dict[str, tuple[int, ...]] = {"image_features": export.shape, "image_bb": (4,), "spatial_features": (6,)}
    datasets = {name: file.create_dataset(name, (export.total, *shape), np.float32) for name, shape in shapes.items()}
    start = 0
    for image in export.images:
        spatial = _spatial(image.boxes, image_size(image, "ban"))
        if len(image.boxes):
            datasets["image_bb"][start : start + len(image.boxes)] = image.boxes
            datasets["spatial_features"][start : start + len(image.boxes)] = spatial
        for part in image.features():
            datasets["image_features"][start : start + len(part)] = part
            start += len(part)
    ends = np.cumsum(export.counts)
    file["pos_boxes"] = np.column_stack([ends - export.counts, ends]).astype(np.int32)
    texts = fixed_texts("image_ids", export.image_ids)
    file.create_dataset("image_ids", data=texts, dtype=texts.dtype)


def _spatial(boxes: NDArray[np.float32], size: tuple[float, float]) -> NDArray[np.float32]:
    """Corners and sides of boxes (k, 4) in fractions of the image, (k, 6)."""
    corners = boxes.astype(np.float64) / np.tile(size, 2)
    return np.column_stack([corners, corners[:, 2:] - corners[:, :2]]).astype(np.float32)


def _ids(path: Path, texts: list[str]) -> list[Any]:
    """The ids as numbers, which questions have, if all of them are; else as they are."""
    if not all(text.isascii() and text.isdecimal() for text in texts):
        return list(texts)
    first: dict[int, str] = {}
    for text in texts:
        if first.setdefault(int(text), text) != text:
            raise InputError(f"{path}: expected ids that are different numbers, got {first[int(text)]} and {text}")
    return list(first)
