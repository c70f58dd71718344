"""What a job did, level by level, as numbers, as JSON values and as records of the crops file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core.arrays import slices
from msroi_cli.core.exact import as_limbs, sum_of_limbs, sum_of_texts
from msroi_cli.core.levels import box_sizes
from msroi_cli.core.stats import CropStats
from msroi_cli.io.crops.schema import (
    MOMENTS_DTYPE,
    SQUARES_LIMBS,
    SQUARES_UNIT,
    STATS_DTYPE,
    SUMS_LIMBS,
    SUMS_UNIT,
)
from msroi_cli.job.validate.findings import Finding

# Their moments stay in the cache.
PARTS_AT_ONCE = 64

# The exact sums of `moments`: the power of 2 that is their unit, and their limbs.
EXACT = {"sums": (SUMS_UNIT, SUMS_LIMBS), "squares": (SQUARES_UNIT, SQUARES_LIMBS)}


class Sizes(NamedTuple):
    """Box sizes sqrt(w * h) in input pixels: the smallest, the median and the largest; NaN of no boxes."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, sizes: NDArray[np.float32]) -> Sizes:
        """The sizes of some boxes, which are left in another order."""
        if not len(sizes):
            return cls(math.nan, math.nan, math.nan)
        # np.median gives the same and imports numpy.ma, which takes as long as a small job.
        middle = [(len(sizes) - 1) // 2, len(sizes) // 2]
        sizes.partition(middle)
        median = sizes[middle].mean()
        return cls(float(sizes.min()), float(median), float(sizes.max()))


class LevelSummary(NamedTuple):
    """One level, or all of them together: its boxes, their share of all pooled boxes and the values of their crops.

    nonfinite: how many values of the crops are NaN or infinite; they are left out of the mean, std, low and high.
    """

    boxes: int
    share: float
    size: Sizes
    mean: float
    std: float
    low: float
    high: float
    zero_fraction: float
    nonfinite: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; None where there is no number."""
        return {
            "boxes": self.boxes,
            "share": self.share,
            "box_size": _plain({"min": self.size.low, "median": self.size.median, "max": self.size.high}),
            "crop": _plain(
                {
                    "mean": self.mean,
                    "std": self.std,
                    "min": self.low,
                    "max": self.high,
                    "zero_fraction": self.zero_fraction,
                }
            )
            | {"nonfinite": self.nonfinite},
            **_plain({"seconds": self.seconds}),
        }


class Summary(NamedTuple):
    """The statistics of a job.

    names and strides (y, x): of the levels. invalid: how many boxes could not be pooled, by reason.
    left_out: how many were not chosen, by what they were left out for.
    elapsed: seconds, all in all. warnings: what is valid but implausible, and crops that are not
    finite. Times are NaN where they are not known: nothing was pooled, or others pooled it.
    """

    names: Sequence[str]
    strides: Sequence[tuple[float, float]]
    levels: Sequence[LevelSummary]
    total: LevelSummary
    invalid: Mapping[str, int]
    elapsed: float
    left_out: Mapping[str, int] = {}
    warnings: Sequence[Finding] = ()

    def as_dict(self) -> dict[str, Any]:
        """The JSON of `--stats`."""
        levels = [
            {"level": index, "name": name, "stride": _stride(stride), **level.as_dict()}
            for index, (name, stride, level) in enumerate(zip(self.names, self.strides, self.levels, strict=True))
        ]
        total = {**self.total.as_dict(), **_plain({"elapsed": self.elapsed})}
        counts = {"invalid_boxes": dict(self.invalid), "left_out_boxes": dict(self.left_out)}
        warnings = [finding.as_dict() for finding in self.warnings]
        return {"levels": levels, "total": total, **counts, "warnings": warnings}

    def records(self) -> NDArray[Any]:
        """The rows of the `stats` dataset, (L,) of STATS_DTYPE. Times are left out: they differ from run to run."""
        rows = [
            (
                *(index, *stride, level.boxes, level.share),
                *(level.size.low, level.size.median, level.size.high),
                *(level.mean, level.std, level.low, level.high, level.zero_fraction, level.nonfinite),
            )
            for index, (stride, level) in enumerate(zip(self.strides, self.levels, strict=True))
        ]
        return np.array(rows, dtype=STATS_DTYPE)


def moments_records(stats: CropStats) -> NDArray[Any]:
    """The exact statistics as rows of the `moments` dataset, (L,) of MOMENTS_DTYPE."""
    records = np.zeros(len(stats.finite), MOMENTS_DTYPE)
    records["count"] = stats.finite
    for name in ("low", "high", "zeros", "nonfinite"):
        records[name] = getattr(stats, name)
    for number, (name, (unit, limbs)) in enumerate(EXACT.items()):
        for level, total in enumerate(getattr(stats, name)):
            records["beyond"][level, number] = total is None
            records[name][level] = as_limbs(total or 0, unit, limbs)
    return records


def stats_of_parts(parts: Sequence[NDArray[Any]]) -> CropStats:
    """The statistics of all parts together, of the `moments` (L,) of each, which `moments_records` wrote."""
    stats = CropStats.empty(len(parts[0]))
    for start in range(0, len(parts), PARTS_AT_ONCE):
        some = parts[start : start + PARTS_AT_ONCE]
        # np.concatenate compares the fields of all of them.
        # Those of older parts have other names. To compare dtypes takes longer than to add up the moments.
        for names in {part.dtype.names: None for part in some}:
            own = [part for part in some if part.dtype.names == names]
            moments = np.frombuffer(b"".join(part.tobytes() for part in own), own[0].dtype).reshape(len(own), -1)
            count, zeros, nonfinite = (moments[name].sum(axis=0) for name in ("count", "zeros", "nonfinite"))
            sums, squares = (_sums(moments, name) for name in EXACT)
            low, high = moments["low"].min(axis=0), moments["high"].max(axis=0)
            stats.add(CropStats(count, sums, squares, low, high, zeros, nonfinite))
    return stats


def _sums(moments: NDArray[Any], name: str) -> list[int | None]:
    """The sums of `moments` (k, L) of each level, None where one of them is not known."""
    if "beyond" not in (moments.dtype.names or ()):
        return list(map(sum_of_texts, moments[name].T.tolist()))
    unit, _ = EXACT[name]
    beyond = np.any(moments["beyond"][..., list(EXACT).index(name)], axis=0).tolist()
    return [None if some else total for some, total in zip(beyond, sum_of_limbs(moments[name], unit), strict=True)]


def summarize(
    boxes: NDArray[np.float32], level: NDArray[np.integer[Any]], stats: CropStats, seconds: NDArray[np.float64]
) -> tuple[list[LevelSummary], LevelSummary]:
    """The summaries of each level and of all together, of pooled boxes (K, 4) and their levels (K,)."""
    sizes = np.empty(len(boxes), np.float32)
    for rows in slices(len(boxes)):
        sizes[rows] = box_sizes(boxes[rows])
    levels = [_level(sizes[level == index], len(sizes), stats, index, seconds[index]) for index in range(len(seconds))]
    return levels, _level(sizes, len(sizes), stats.total(), 0, float(seconds.sum()))


def _level(sizes: NDArray[np.float32], all_boxes: int, stats: CropStats, index: int, seconds: float) -> LevelSummary:
    some = stats.finite[index] > 0
    return LevelSummary(
        boxes=len(sizes),
        share=len(sizes) / max(1, all_boxes),
        size=Sizes.of(sizes),
        mean=float(stats.mean[index]) if some else math.nan,
        std=float(stats.deviation()[index]) if some else math.nan,
        low=float(stats.low[index]) if some else math.nan,
        high=float(stats.high[index]) if some else math.nan,
        zero_fraction=float(stats.zero_fraction()[index]) if some else math.nan,
        nonfinite=int(stats.nonfinite[index]),
        seconds=float(seconds),
    )


def _plain(values: dict[str, float]) -> dict[str, float | None]:
    return {key: value if math.isfinite(value) else None for key, value in values.items()}


def _stride(stride: tuple[float, float]) -> float | list[float]:
    return stride[0] if stride[0] == stride[1] else list(stride)
