"""The statistics of a crops file, computed again from its crops."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core.backends.dispatch import stats_of
from msroi_cli.core.levels import box_sizes, level_bounds
from msroi_cli.core.stats import CropStats
from msroi_cli.errors import InputError
from msroi_cli.io.crops.reader import Crops
from msroi_cli.io.crops.schema import STATUS_POOLED
from msroi_cli.job.join.boxes import invalid_reasons, reason_counts
from msroi_cli.job.recipe import Recipe
from msroi_cli.job.summary import LevelSummary, Summary, summarize
from msroi_cli.job.validate.findings import Finding

HISTOGRAM_BINS = 100
SHOWN = 4


@dataclass(frozen=True, slots=True)
class Distribution:
    """How the finite values of a level's crops are spread: `counts` (B,) int64 between `edges` (B + 1,) float64.

    total: how many finite values there are, those beyond the edges included.
    """

    counts: NDArray[np.int64]
    edges: NDArray[np.float64]
    total: int


@dataclass(frozen=True, slots=True)
class CropStatistics:
    """What there is to say of a crops file.

    sizes: (P,) float32, sqrt(w * h) of the pooled boxes in input pixels; level: (P,) int64, their levels.
    bounds: (L - 1,) float32, the smallest size of each level but the first.
    """

    summary: Summary
    sizes: NDArray[np.float32]
    level: NDArray[np.int64]
    bounds: NDArray[np.float32]


def recomputed(crops: Crops, progress: Callable[[int], None] = lambda boxes: None) -> CropStatistics:
    """Reads every crop once, some at a time; raises InputError."""
    recipe = Recipe.of(crops)
    count = len(recipe.levels)
    pooled = crops.status == STATUS_POOLED
    level = crops.level.astype(np.int64)
    if (level[pooled] < 0).any() or (level[pooled] >= count).any():
        raise InputError(f"{crops.path}:/level: expected 0 to {count - 1} for pooled boxes, got others")
    stats = CropStats.empty(count)
    for rows, block in crops.blocks():
        good = pooled[rows]
        if good.any():
            stats.add(stats_of(np.ascontiguousarray(block if good.all() else block[good]), level[rows][good], count))
        progress(len(block))
    levels, total = summarize(crops.boxes[pooled], level[pooled], stats, np.full(count, math.nan))
    bad = reason_counts(invalid_reasons(crops.boxes, crops.image_index)[~pooled])
    warnings = list(map(Finding.parse, crops.warnings))
    summary = Summary(recipe.levels, recipe.strides, levels, total, bad, math.nan, warnings=warnings)
    return CropStatistics(summary, box_sizes(crops.boxes[pooled]), level[pooled], level_bounds(recipe.spec))


def distributions(crops: Crops, statistics: CropStatistics) -> list[Distribution]:
    """How the values of each level are spread, over the same edges for all levels; reads the crops again.

    The edges lie within SHOWN standard deviations of the mean of all values.
    """
    summary = statistics.summary
    edges = _edges(summary.total)
    counts = np.zeros((len(summary.levels), HISTOGRAM_BINS), np.int64)
    totals = np.zeros(len(summary.levels), np.int64)
    for rows, block in crops.blocks():
        level = np.where(crops.status[rows] == STATUS_POOLED, crops.level[rows], -1)
        for index in np.unique(level[level >= 0]).tolist():
            values = block[level == index].astype(np.float64).ravel()
            finite = values[np.isfinite(values)]
            counts[index] += np.histogram(finite, edges)[0]
            totals[index] += len(finite)
    return [Distribution(count, edges, int(total)) for count, total in zip(counts, totals, strict=True)]


def _edges(total: LevelSummary) -> NDArray[np.float64]:
    """The edges of the bins; of one value, around it."""
    if not math.isfinite(total.mean):
        return np.linspace(0, 1, HISTOGRAM_BINS + 1)
    low = max(total.low, total.mean - SHOWN * total.std)
    high = min(total.high, total.mean + SHOWN * total.std)
    if not high - low > 1e-6 * max(abs(low), abs(high)):
        around = max(0.5, abs(low) / 2)
        low, high = low - around, low + around
    return np.linspace(low, high, HISTOGRAM_BINS + 1)
