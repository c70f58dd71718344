"""The summary of a job."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from msroi_cli import open_crops
from msroi_cli.core.stats import CropStats
from msroi_cli.io.crops.schema import TEXT_MOMENTS_DTYPE
from msroi_cli.job.summary import Sizes, moments_records, stats_of_parts


@pytest.mark.parametrize("count", [1, 2, 3, 10, 1001])
def test_sizes_are_those_of_numpy(count):
    sizes = np.random.default_rng(count).gamma(2, 40, count).astype(np.float32)
    assert Sizes.of(sizes) == Sizes(sizes.min(), np.median(sizes), sizes.max())


LARGEST, SMALLEST = np.finfo(np.float64).max, np.finfo(np.float64).smallest_subnormal


def stats_of(values):
    """Of crops of these values, one each, from two levels in turns."""
    crops = np.array(values, np.float64)
    return CropStats.of(crops.reshape(-1, 1, 1, 1), np.arange(len(crops)) % 2, 2)


def text_records(stats):
    """The records of older parts."""
    columns = dict(zip(TEXT_MOMENTS_DTYPE.names, stats.as_list(), strict=True))
    records = np.zeros(2, TEXT_MOMENTS_DTYPE)
    for name, values in columns.items():
        records[name] = ["" if value is None else value for value in values]
    return records


@pytest.mark.parametrize(
    "parts",
    [
        [[LARGEST, -LARGEST, SMALLEST, -SMALLEST, 1 / 3, 0]],
        [[LARGEST] * 2, [LARGEST] * 2, [-LARGEST] * 2 + [SMALLEST] * 2],
        [[0.1, 0.2], [], [-0.3], [np.nan, np.inf]],
    ],
)
@pytest.mark.parametrize("older", [0, 1])
def test_statistics_of_parts_are_exact(parts, older):
    stats = [stats_of(values) for values in parts]
    # Texts had no room for numbers that are far apart.
    records = [
        text_records(some) if number < older and len(parts[0]) < 3 else moments_records(some)
        for number, some in enumerate(stats)
    ]
    found, expected = stats_of_parts(records), stats_of([value for values in parts for value in values])
    whole = CropStats.empty(2)
    for some in stats:
        whole.add(some)
    assert found.as_list() == whole.as_list()
    if len(parts) == 1:
        assert found.as_list() == expected.as_list()


def test_sums_beyond_float64_are_not_known():
    crops = np.array([[LARGEST, -LARGEST], [1, 2]]).reshape(2, 2, 1, 1)
    stats = CropStats.of(crops, np.array([0, 1]), 2)
    assert stats.squares[0] is None
    assert stats.sums[0] is not None
    for records in (moments_records(stats), text_records(stats)):
        assert stats_of_parts([records, records]).squares == [None, 2 * stats.squares[1]]


def test_statistics_of_older_parts():
    with open_crops(Path(__file__).parents[1] / "data" / "parts-text-moments") as crops:
        stats = CropStats.of(crops[:], crops.level.astype(np.int64), 4)
        found = crops.summary()
    assert sum(stats.finite) == 5 * 4
    for level in np.flatnonzero(stats.finite):
        assert found.levels[level].mean == stats.mean[level]
        assert found.levels[level].std == stats.deviation()[level]
