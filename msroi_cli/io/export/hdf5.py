"""Exports in HDF5: `padded`, `ragged` and `groups`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from msroi_cli.io.export.model import FORMAT, FORMAT_VERSION, Export, ExportedImage, Writer, image_size, safe_names
from msroi_cli.io.files.atomic import failures_named, whole_file
from msroi_cli.io.hdf5.write import fixed_texts, hdf5_file, set_texts


def write_padded(file: h5py.File, export: Export) -> None:
    """`features` (N, M, ...), `boxes` (N, M, 4), `mask` (N, M), `counts` (N,); zeros behind the boxes of an image.

    M is the most boxes that an image has. Other columns: NaN or -1 behind the boxes.
    """
    count, most = len(export.counts), int(export.counts.max(initial=0))
    features = file.create_dataset("features", (count, most, *export.shape), export.dtype)
    boxes = file.create_dataset("boxes", (count, most, 4), np.float32)
    columns = {
        name: file.create_dataset(name, (count, most), dtype, fillvalue=np.nan if dtype.kind == "f" else -1)
        for name, dtype in export.columns.items()
    }
    for index, image in enumerate(export.images):
        start = 0
        for part in image.features():
            features[index, start : start + len(part)] = part
            start += len(part)
        if start:
            boxes[index, :start] = image.boxes
            for name, values in image.columns.items():
                columns[name][index, :start] = values
    file["counts"] = export.counts
    file["mask"] = np.arange(most) < export.counts[:, None]
    _write_ids(file, export)


def write_ragged(file: h5py.File, export: Export) -> None:
    """`features` (K, ...), `boxes` (K, 4), image after image; `pos_boxes` (N, 2): where each begins and ends."""
    ends = np.cumsum(export.counts)
    total = int(ends[-1]) if len(ends) else 0
    features = file.create_dataset("features", (total, *export.shape), export.dtype)
    boxes = file.create_dataset("boxes", (total, 4), np.float32)
    columns = {name: file.create_dataset(name, (total,), dtype) for name, dtype in export.columns.items()}
    start = 0
    for image in export.images:
        rows = slice(start, start + len(image.boxes))
        if len(image.boxes):
            boxes[rows] = image.boxes
            for name, values in image.columns.items():
                columns[name][rows] = values
        for part in image.features():
            features[start : start + len(part)] = part
            start += len(part)
    file["pos_boxes"] = np.column_stack([ends - export.counts, ends])
    _write_ids(file, export)


def write_groups(file: h5py.File, export: Export) -> None:
    """One group an image: `features` (k, ...), `boxes` (k, 4), `num_boxes`, `image_w`, `image_h`.

    Groups have the name of the image id, made safe where it cannot be one; the attribute `image_id` has the id itself.
    """
    for name, image in zip(_group_names(export.image_ids), export.images, strict=True):
        _write_group(file.create_group(name), image, export)


def _write_group(group: h5py.Group, image: ExportedImage, export: Export) -> None:
    size = image_size(image, "groups")
    set_texts(group, {"image_id": image.id})
    features = group.create_dataset("features", (len(image.boxes), *export.shape), export.dtype)
    start = 0
    for part in image.features():
        features[start : start + len(part)] = part
        start += len(part)
    group["boxes"] = image.boxes
    group["num_boxes"] = len(image.boxes)
    group["image_w"], group["image_h"] = size
    for name, values in image.columns.items():
        group[name] = values


def _group_names(ids: list[str]) -> list[str]:
    """The ids where all of them can be names of groups, else safe names."""
    fit = all(text not in ("", ".", "..") and not set(text) & {"/", "\0"} for text in ids)
    return ids if fit and len(set(ids)) == len(ids) else safe_names(ids)


def _write_ids(file: h5py.File, export: Export) -> None:
    ids = fixed_texts("image_ids", export.image_ids)
    file.create_dataset("image_ids", data=ids, dtype=ids.dtype)


def hdf5_writer(write: Callable[[h5py.File, Export], None], layout: str) -> Writer:
    """The function that writes a whole file in a layout: (path, export, overwrite)."""

    def write_file(path: Path, export: Export, overwrite: bool) -> None:
        with whole_file(path, overwrite) as partial, failures_named(path), hdf5_file(partial) as file:
            file.attrs["format_version"] = FORMAT_VERSION
            set_texts(file, {"format": FORMAT, "layout": layout, **export.attributes})
            write(file, export)

    return write_file
