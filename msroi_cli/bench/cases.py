"""The arrays of a workload."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from msroi_cli.bench.workloads import Workload

ASPECTS = (0.4, 2.5)
COMPAT: Final = "torchvision"


@dataclass(frozen=True, slots=True)
class Case:
    """The input of every contestant.

    features: L levels (N, C, H_l, W_l), finest first. rois: (K, 5) float32, image index and x1 y1 x2 y2, input pixels.
    scales: feature pixels per input pixel of each level.
    """

    workload: Workload
    features: list[NDArray[Any]]
    rois: NDArray[np.float32]
    scales: list[float]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the crops: (K, C, Ho, Wo)."""
        bins = self.workload.output_size
        return len(self.rois), self.workload.channels, bins, bins

    @property
    def moved(self) -> int:
        """Bytes that have to be moved: all features read once and all crops written once."""
        crops = int(np.prod(self.shape)) * self.features[0].itemsize
        return sum(feature.nbytes for feature in self.features) + crops


def make(workload: Workload) -> Case:
    """The same arrays every time."""
    rng = np.random.default_rng(0)
    leading = (workload.images, workload.channels)
    features = [
        (rng.random((*leading, *size), np.float32) * 2 - 1).astype(workload.dtype, copy=False)
        for size in workload.level_sizes()
    ]
    image = np.repeat(np.arange(workload.images), workload.boxes)
    rois = np.column_stack([image, _boxes(workload, len(image), rng)]).astype(np.float32)
    return Case(workload, features, rng.permutation(rois), [1 / stride for stride in workload.strides])


def _boxes(workload: Workload, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Boxes (count, 4), x1 y1 x2 y2, within the image."""
    height, width = workload.input_size
    limits = np.array([width, height], np.float64)
    if workload.box_sides is None:
        return np.tile([0.0, 0.0, width, height], (count, 1))
    side = _log_uniform(*workload.box_sides, count, rng)
    stretch = np.sqrt(_log_uniform(*ASPECTS, count, rng))
    extent = np.minimum(np.column_stack([side * stretch, side / stretch]), limits)
    corner = rng.random((count, 2)) * (limits - extent)
    return np.hstack([corner, corner + extent])


def _log_uniform(least: float, most: float, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    values: NDArray[np.float64] = np.exp(rng.uniform(math.log(least), math.log(most), count))
    return values
