"""Statistics of crops: what NumPy says of all values at once, however they were split."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msroi_cli.core import stats
from msroi_cli.core.stats import CropStats

LEVELS = 3

values = st.floats(-1e4, 1e4, width=16) | st.sampled_from([0.0, -0.0, np.nan, np.inf, -np.inf])


@st.composite
def crops_and_levels(draw):
    """Crops (K, 2, 1, 2) and the level of each."""
    count = draw(st.integers(0, 12))
    numbers = draw(st.lists(values, min_size=4 * count, max_size=4 * count))
    levels = draw(st.lists(st.integers(0, LEVELS - 1), min_size=count, max_size=count))
    dtype = draw(st.sampled_from(["f2", "f4", "f8", ">f4"]))
    return np.array(numbers, dtype).reshape(count, 2, 1, 2), np.array(levels, np.int64)


def check(one, level, crops):
    flat = crops.astype(np.float64).ravel()
    finite = flat[np.isfinite(flat)]
    assert one.finite[level] == finite.size
    assert one.nonfinite[level] == flat.size - finite.size
    assert one.zeros[level] == np.count_nonzero(finite == 0)
    assert one.zero_fraction()[level] == pytest.approx(np.mean(flat == 0) if flat.size else 0)
    assert one.low[level] == finite.min(initial=np.inf)
    assert one.high[level] == finite.max(initial=-np.inf)
    assert one.mean[level] == pytest.approx(finite.mean() if finite.size else 0, rel=1e-9, abs=1e-9)
    assert one.deviation()[level] == pytest.approx(finite.std() if finite.size else 0, rel=1e-9, abs=1e-6)


@given(crops_and_levels())
def test_statistics_are_those_of_the_values(case):
    crops, levels = case
    found = CropStats.of(crops, levels, LEVELS)
    for level in range(LEVELS):
        check(found, level, crops[levels == level])
    check(found.total(), 0, crops)


@given(st.data(), crops_and_levels())
def test_batches_add_up_in_any_grouping(data, case):
    crops, levels = case
    cuts = sorted(data.draw(st.lists(st.integers(0, len(crops)), max_size=4)))
    batches = [
        CropStats.of(some, mine, LEVELS)
        for some, mine in zip(np.split(crops, cuts), np.split(levels, cuts), strict=True)
    ]
    total = CropStats.empty(LEVELS)
    for batch in data.draw(st.permutations(batches)):
        total.add(batch)
    for level in range(LEVELS):
        check(total, level, crops[levels == level])
    assert total.as_list() == CropStats.of(crops, levels, LEVELS).as_list()
    assert CropStats.from_list(json.loads(json.dumps(total.as_list()))).as_list() == total.as_list()


def test_values_beyond_what_can_be_squared():
    crops = np.array([1e300, -1e300, np.nan, 0]).reshape(1, 4, 1, 1)
    found = CropStats.of(crops, np.zeros(1, np.int64), 1)
    assert (found.mean[0], found.deviation()[0]) == (0, np.inf)
    assert (found.low[0], found.high[0], found.nonfinite[0], found.zeros[0]) == (-1e300, 1e300, 1, 1)


def test_no_crops():
    nothing = CropStats.of(np.zeros((0, 2, 7, 7)), np.zeros(0, np.int64), LEVELS)
    assert nothing.finite.tolist() == nothing.zeros.tolist() == [0] * LEVELS
    assert nothing.deviation().tolist() == nothing.zero_fraction().tolist() == [0] * LEVELS


def test_no_channels():
    assert CropStats.of(np.zeros((4, 0, 7, 7)), np.zeros(4, np.int64), 1).finite.tolist() == [0]


def test_many_blocks(monkeypatch):
    crops = np.random.default_rng(0).normal(1e6, 1, (50, 3, 2, 2))
    levels = np.arange(50) % 2
    monkeypatch.setattr(stats, "VALUES_AT_ONCE", 30)
    found = CropStats.of(crops, levels, 2)
    for level in (0, 1):
        check(found, level, crops[levels == level])
    assert found.deviation()[0] == pytest.approx(crops[::2].std(), rel=1e-9)


def test_inputs_are_left_as_they_are():
    one, other = (CropStats.of(np.full((1, 1, 1, 1), value), np.zeros(1, np.int64), 1) for value in (1.0, 3.0))
    one.add(other)
    assert (one.mean[0], other.mean[0], other.finite[0]) == (2, 3, 1)
