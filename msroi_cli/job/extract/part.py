"""The rows of a job, and the part of them that one shard makes: its images, its rows and its file."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core.spec import PoolSpec
from msroi_cli.errors import UsageError
from msroi_cli.io.crops.parts import NAME, Part, part_name
from msroi_cli.io.pyramid.base import Pyramid
from msroi_cli.job.extract.plan import Plan, make_plan
from msroi_cli.job.join.assignment import Assignment
from msroi_cli.job.request import ExtractRequest
from msroi_cli.job.shards import Shard, bounds, image_work


def output_path(request: ExtractRequest) -> Path:
    """The file that is written: OUT, or the part of the shard in the folder OUT."""
    shard = request.shard
    return request.out if shard is None else request.out / part_name(shard.index, shard.count)


def check_folder(folder: Path, shard: Shard) -> None:
    """Raises UsageError for a folder that cannot have the part of `shard`: it has those of another number of shards.

    The parts of two jobs in one folder could not be told from those of one.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: expected a folder for the parts of --shard {shard}, got a file")
    if not folder.parent.is_dir():
        raise UsageError(f"{folder}: expected an existing folder to write to, got {folder.parent}")
    for name in sorted(entry.name for entry in folder.iterdir()) if folder.exists() else ():
        match = NAME.fullmatch(name)
        if match and int(match[2]) != shard.count:
            raise UsageError(f"{folder}: expected parts of {shard.count} shards, got {name}")


def shard_of(plan: Plan, pyramid: Pyramid, request: ExtractRequest) -> tuple[Part, Plan]:
    """The part that the shard of `request` makes of the whole `plan`, and the plan of its rows."""
    shard, images = request.shard, len(pyramid.image_ids)
    if shard is None:
        raise TypeError("shard_of: expected a request with a shard")
    channels = Assignment.of(request.assign, pyramid).channels
    row_bytes = channels * math.prod(request.pool.output_size) * pyramid.dtype.itemsize
    sizes = np.array([pyramid.level_bytes(level) for level in range(len(pyramid.levels))], np.int64)
    edges = bounds(image_work(plan.image, plan.level, sizes, row_bytes, images), shard.count)
    start, stop = (min(int(edge), images) for edge in edges[shard.index - 1 : shard.index + 1])
    part = Part(shard.index, shard.count, start, stop - start, len(plan))
    # Boxes of unknown images are dealt out as one more image, the last.
    return part, plan.of_images(start, stop, unknown=bool(edges[shard.index - 1] <= images < edges[shard.index]))


class Planner(NamedTuple):
    """Makes the plan of boxes (K, 4), of their images (K,) and the reasons (K,) why they cannot be pooled."""

    request: ExtractRequest
    pyramid: Pyramid
    spec: PoolSpec
    assignment: Assignment

    def plan(self, boxes: NDArray[np.float32], images: NDArray[np.int64], reasons: NDArray[np.uint8]) -> Plan:
        """Of all boxes."""
        # Where invalid boxes keep their rows, filled, boxes of unknown images do, too.
        drop = self.request.box.on_bad_box in ("error", "drop")
        plan = make_plan(boxes, images, reasons == 0, self.spec, drop, self.request.order == "image")
        return replace(plan, level=self.assignment.of_boxes(plan.level))

    def own(
        self, boxes: NDArray[np.float32], images: NDArray[np.int64], reasons: NDArray[np.uint8]
    ) -> NDArray[np.int64]:
        """The images that the shard pools boxes of."""
        return shard_of(self.plan(boxes, images, reasons), self.pyramid, self.request)[1].images()
