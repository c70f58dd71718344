"""Crops in the files that other programs read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli import __version__
from msroi_cli.core.reduce import NORMALIZATIONS, REDUCTIONS
from msroi_cli.errors import InputError, UsageError
from msroi_cli.io.crops.reader import Crops
from msroi_cli.io.crops.schema import COLUMNS, STATUS_POOLED
from msroi_cli.io.export.bottom_up import id_map_path, write_ban, write_bua
from msroi_cli.io.export.files import write_npz, write_tsv
from msroi_cli.io.export.folder import check_folder
from msroi_cli.io.export.hdf5 import hdf5_writer, write_groups, write_padded, write_ragged
from msroi_cli.io.export.layouts import LAYOUTS
from msroi_cli.io.export.model import Export, ExportedImage, Writer
from msroi_cli.io.export.parquet import write_parquet
from msroi_cli.io.export.vectors import write_npy, write_safetensors
from msroi_cli.io.export.webdataset import write_webdataset
from msroi_cli.io.files.target import check_folder_apart, check_suffix, check_target
from msroi_cli.io.pyramid.base import Pyramid
from msroi_cli.io.pyramid.many.paths import input_paths
from msroi_cli.io.pyramid.open import open_pyramid
from msroi_cli.job.crops import open_crops
from msroi_cli.job.recipe import Recipe

WRITERS: dict[str, Writer] = {
    "padded": hdf5_writer(write_padded, "padded"),
    "groups": hdf5_writer(write_groups, "groups"),
    "ragged": hdf5_writer(write_ragged, "ragged"),
    "npz": write_npz,
    "tsv": write_tsv,
    "npy": write_npy,
    "safetensors": write_safetensors,
    "parquet": write_parquet,
    "webdataset": write_webdataset,
    "bua": write_bua,
    "ban": write_ban,
}
PART_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """One `msroi export`.

    pyramid: where the sizes and the scale factors of the images are. space: "input" or "original", of the boxes.
    max_boxes: the most boxes of an image, those with the highest scores where there are more. used_only: leave out
    images without boxes. normalize: "l2" for vectors of length 1.
    """

    crops: str
    out: Path
    layout: str
    reduce: str | None = None
    pyramid: str | None = None
    space: str = "input"
    max_boxes: int | None = None
    used_only: bool = False
    overwrite: bool = False
    normalize: str | None = None


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: images, boxes, boxes that were left out because they were not pooled or were too many."""

    images: int
    boxes: int
    not_pooled: int
    too_many: int


def export(request: ExportRequest, progress: Callable[[int], None] = lambda boxes: None) -> Exported:
    """Writes crops in another layout, image by image; raises InputError, UsageError or RunError.

    progress is called with the number of boxes just written.
    """
    with ExitStack() as stack:
        crops = stack.enter_context(open_crops(request.crops))
        _check(request, crops)
        pyramid = None
        if request.pyramid is not None:
            pyramid = stack.enter_context(open_pyramid(request.pyramid, Recipe.of(crops).level_choice()))
        images, too_many = _chosen(crops, request)
        frames = _Frames(crops, pyramid, request.space)
        source = _Features(crops, request, progress)
        WRITERS[request.layout](
            request.out,
            Export(
                [crops.image_ids[image] for image in images],
                np.array([len(rows) for rows in images.values()], np.int64),
                source.shape,
                crops.dtype,
                {name: np.dtype(COLUMNS[name]) for name in _columns(crops)},
                _attributes(request, crops),
                (_image(crops, image, rows, frames, source) for image, rows in images.items()),
            ),
            request.overwrite,
        )
        total = sum(len(rows) for rows in images.values())
        return Exported(len(images), total, len(crops) - total - too_many, too_many)


def _check(request: ExportRequest, crops: Crops) -> None:
    layout, inputs = LAYOUTS[request.layout], [*input_paths(request.crops, request.pyramid), *crops.paths]
    if layout.is_folder:
        check_folder(request.out, request.overwrite)
        check_folder_apart(request.out, inputs)
    else:
        check_target(request.out, request.overwrite, inputs=inputs)
    if request.layout == "ban":
        check_target(id_map_path(request.out), request.overwrite, inputs=inputs)
    check_suffix(request.out, layout.written)
    if request.reduce is not None and len(crops.shape) != 4:
        raise UsageError(f"--reduce: expected crops (K, C, Ho, Wo), got vectors {crops.shape} in {crops.path}")
    if request.normalize is not None and request.reduce is None and len(crops.shape) == 4:
        raise UsageError(f"--normalize: expected vectors (K, C), as --reduce makes them, got crops {crops.shape}")
    if layout.needs_vectors and request.reduce is None and len(crops.shape) == 4:
        raise UsageError(
            f"--layout {request.layout}: expected vectors (K, C), as --reduce makes them, got crops {crops.shape}"
        )
    if request.pyramid is None and layout.needs_sizes:
        raise UsageError(f"--pyramid: expected with --layout {request.layout}, for the sizes of the images")
    if request.pyramid is None and request.space == "original":
        raise UsageError("--pyramid: expected for --box-space original, for its scale factors")


def _chosen(crops: Crops, request: ExportRequest) -> tuple[dict[int, NDArray[np.int64]], int]:
    """The rows of each image that are written, ascending; and how many are not because there are too many."""
    chosen, too_many = {}, 0
    pooled = np.flatnonzero((crops.status == STATUS_POOLED) & (crops.image_index >= 0))
    pooled = pooled[np.argsort(crops.image_index[pooled], kind="stable")]
    edges = np.searchsorted(crops.image_index[pooled], np.arange(len(crops.image_ids) + 1))
    for image in range(len(crops.image_ids)):
        rows = pooled[edges[image] : edges[image + 1]]
        if request.max_boxes is not None and len(rows) > request.max_boxes:
            too_many += len(rows) - request.max_boxes
            order = np.arange(len(rows)) if crops.score is None else np.argsort(-crops.score[rows], kind="stable")
            rows = np.sort(rows[order[: request.max_boxes]])
        if len(rows) or not request.used_only:
            chosen[image] = rows
    return chosen, too_many


def _columns(crops: Crops) -> dict[str, NDArray[Any]]:
    """What is exported of each crop besides its box and its features, (K,) each."""
    return {"level": crops.level, "box_index": crops.box_index, **crops.box_columns}


def _attributes(request: ExportRequest, crops: Crops) -> dict[str, str]:
    parameters = {**crops.parameters, "reduce": request.reduce or crops.parameters.get("reduce")}
    if request.normalize is not None:
        parameters["normalize"] = request.normalize
    return {
        "generated_by": f"msroi {__version__}",
        "parameters": json.dumps(parameters),
        "sources": json.dumps(crops.sources),
        "box_space": request.space,
    }


def _image(crops: Crops, image: int, rows: NDArray[np.int64], frames: _Frames, source: _Features) -> ExportedImage:
    size, factor, offset = frames.of(image)
    return ExportedImage(
        crops.image_ids[image],
        size,
        ((crops.boxes[rows] - np.tile(offset, 2)) / np.tile(factor, 2)).astype(np.float32),
        {name: np.asarray(values[rows], COLUMNS[name]) for name, values in _columns(crops).items()},
        partial(source.parts, rows),
    )


class _Frames:
    """The size of each image, and its scale factor and offset, in the space that is asked for."""

    def __init__(self, crops: Crops, pyramid: Pyramid | None, space: str) -> None:
        self._crops, self._pyramid, self._space = crops, pyramid, space
        self._numbers = {} if pyramid is None else {name: index for index, name in enumerate(pyramid.image_ids)}

    def of(self, image: int) -> tuple[tuple[float, float] | None, tuple[float, float], tuple[float, float]]:
        """((width, height), (sx, sy), (ox, oy)); raises InputError where the pyramid does not know."""
        if self._pyramid is None:
            return None, (1.0, 1.0), (0.0, 0.0)
        name = self._crops.image_ids[image]
        where = self._pyramid.location
        if name not in self._numbers:
            raise InputError(f"{where}: expected the image {name!r} of the crops, got none of that name")
        number = self._numbers[name]
        if self._space == "input":
            return self._pyramid.input_size(number), (1.0, 1.0), (0.0, 0.0)
        factor = self._pyramid.scale_factor(number)
        if factor is None:
            raise InputError(f"{where.at(name)}: --box-space original: expected a scale factor, got none")
        width, height = self._pyramid.input_size(number)
        offset = self._pyramid.offset(number)
        size = self._pyramid.image_size(number)
        if size is None and offset != (0.0, 0.0):
            raise InputError(f"{where.at(name)}: expected the image_size of an image with an offset, got none")
        return size or (width / factor[0], height / factor[1]), factor, offset


class _Features:
    """Features of rows, in parts of bounded size, reduced and normalized where that is asked for."""

    def __init__(self, crops: Crops, request: ExportRequest, progress: Callable[[int], None]) -> None:
        self._crops, self._progress = crops, progress
        self._steps = [REDUCTIONS[request.reduce]] if request.reduce else []
        self._steps += [NORMALIZATIONS[request.normalize]] if request.normalize else []
        self.shape: tuple[int, ...] = crops.shape[1:2] if request.reduce else crops.shape[1:]

    def parts(self, rows: NDArray[np.int64]) -> Iterator[NDArray[Any]]:
        """The features of rows (k,), in their order."""
        step = max(1, PART_BYTES // max(1, self._crops.row_bytes))
        for start in range(0, len(rows), step):
            features = self._crops[rows[start : start + step]]
            for change in self._steps:
                features = change(features)
            yield features
            self._progress(len(features))
