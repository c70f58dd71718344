"""The files that jobs read: pyramids and boxes, the same every time."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from msroi_cli.bench.cases import make
from msroi_cli.bench.jobs.sizes import SMALL_CHANNELS, SMALL_OVERHEAD, SMALL_SIDES
from msroi_cli.bench.workloads import Workload

GZIP_CHANNELS = 32


def pyramid_size(workload: Workload) -> int:
    """The bytes of a pyramid file that is not compressed."""
    cells = sum(height * width for height, width in workload.level_sizes())
    return workload.images * workload.channels * cells * np.dtype(workload.dtype).itemsize


def write_pyramid(path: Path, workload: Workload, gzip: str | None) -> None:
    """Levels p2 to p5 of numbers as after a ReLU: half of them 0. gzip: as in `Sizes`."""
    rng = np.random.default_rng(0)
    storage: dict[str, Any] = {"compression": "gzip", "shuffle": True} if gzip else {}
    with h5py.File(path, "w") as file:
        for number, (stride, size) in enumerate(zip(workload.strides, workload.level_sizes(), strict=True), start=2):
            shape = (workload.images, workload.channels, *size)
            chunks = {"auto": True, "image": (1, min(GZIP_CHANNELS, workload.channels), *size), None: None}[gzip]
            level = file.create_dataset(f"p{number}", shape, "f4", chunks=chunks, **storage)
            level.attrs["stride"] = stride
            step = level.chunks[0] if gzip else 1
            for image in range(0, workload.images, step):
                count = min(step, workload.images - image)
                level[image : image + count] = np.maximum(rng.standard_normal((count, *shape[1:]), np.float32), 0)


def write_boxes(path: Path, workload: Workload) -> None:
    """Rows [image, x1, y1, x2, y2], image after image."""
    rois = make(replace(workload, channels=1)).rois
    rows = rois[np.argsort(rois[:, 0], kind="stable")].tolist()
    path.write_text(json.dumps([[int(row[0]), *row[1:]] for row in rows]))


def small_pyramid_size(images: int) -> int:
    """The bytes of a pyramid file of small images, about."""
    return images * (SMALL_CHANNELS * sum(side * side for side in SMALL_SIDES) * 4 + SMALL_OVERHEAD)


def write_small_pyramid(path: Path, images: int) -> None:
    """One group an image, 4 levels of 8 channels, the finest 16 x 16."""
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for number in range(images):
            group = file.create_group(f"{number:06}")
            for level, side in enumerate(SMALL_SIDES):
                values = rng.standard_normal((SMALL_CHANNELS, side, side), np.float32)
                group.create_dataset(f"p{level + 2}", data=values).attrs["stride"] = 4 << level


def write_small_boxes(path: Path, images: int) -> None:
    """One box an image, {id: [[x1, y1, x2, y2]]}."""
    rng = np.random.default_rng(1)
    corners = rng.uniform(0, 30, (images, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(4, 30, (images, 2))], axis=1).tolist()
    path.write_text(json.dumps({f"{number:06}": [box] for number, box in enumerate(boxes)}))
