"""Levels whose sizes and strides contradict each other are refused; whatever rounding explains is not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msroi_cli import MultiScaleROIAlign, multi_scale_roi_align
from msroi_cli.core.geometry import contradiction, misfits

STRIDES = (4, 8, 16, 32)
SIZES = [(64, 96), (32, 48), (16, 24), (8, 12)]
ROIS = [[0, 10, 10, 60, 80]]


def features(sizes):
    return [np.ones((1, 2, *size), np.float32) for size in sizes]


def pooled(sizes, scales, **options):
    return multi_scale_roi_align(features(sizes), ROIS, scales, 2, **options)


REFUSED = {
    "strides for scales": (SIZES, STRIDES),
    "coarsest stride first": (SIZES, [1 / stride for stride in reversed(STRIDES)]),
    "coarsest map first": (SIZES[::-1], [1 / stride for stride in STRIDES]),
    "two swapped": (SIZES, [1 / 4, 1 / 16, 1 / 8, 1 / 32]),
    "one axis only": ([(64, 96), (64, 48)], [1 / 4, 1 / 8]),
    "only the width": ([(1, 96), (1, 96)], [1 / 4, 1 / 8]),
    "pairs": (SIZES[:2], [(1 / 4, 1 / 8), (1 / 8, 1 / 4)]),
    "tiny": ([(2, 2), (1, 1)], [4, 8]),
    "equal sizes": ([(8, 8), (8, 8)], [1 / 4, 1 / 8]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_strides_that_rise_where_sizes_do_not_fall(case):
    sizes, scales = REFUSED[case]
    with pytest.raises(ValueError, match=r"spatial_scales: expected levels whose size falls as their stride rises"):
        pooled(sizes, scales)


def test_the_message_names_levels_sizes_and_strides():
    with pytest.raises(ValueError, match=r"got height 32 with stride 0.125 and height 64 with stride 0.25 \(levels 1"):
        pooled(SIZES[:2], [4, 8])


@pytest.mark.parametrize("options", [{"levels": [0]}, {"compat": "mmdet"}])
def test_refused_whichever_way_levels_are_chosen(options):
    with pytest.raises(ValueError, match="whose size falls"):
        pooled(SIZES, STRIDES, **options)


def test_the_layer_refuses_them_too():
    with pytest.raises(ValueError, match="whose size falls"):
        MultiScaleROIAlign(2)(features(SIZES), ROIS, STRIDES)


GOOD = {
    "a pyramid": (SIZES, [1 / stride for stride in STRIDES]),
    "one cell each": ([(1, 1), (1, 1), (1, 1)], [1 / 4, 1 / 8, 1 / 16]),
    "a small input, rounded up": ([(2, 2), (2, 1)], [1 / 16, 1 / 32]),
    "two levels of one stride": ([(8, 8), (8, 8)], [1 / 4, 1 / 4]),
    "one level": ([(8, 8)], [4]),
}


@pytest.mark.parametrize("case", GOOD)
def test_no_contradiction(case):
    sizes, scales = GOOD[case]
    assert pooled(sizes, scales).shape == (1, 2, 2, 2)


@given(
    st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    st.lists(st.tuples(st.integers(0, 7), st.sampled_from([math.floor, math.ceil])), min_size=1, max_size=5),
)
def test_levels_of_one_input_never_contradict_each_other(size, levels):
    """Whatever the input, the strides and the rounding of each level."""
    scales = [(1 / 2**power, 1 / 2**power) for power, _ in levels]
    sizes = [tuple(max(1, rounded(side / 2**power)) for side in size) for power, rounded in levels]
    assert contradiction(sizes, scales) is None


@given(st.permutations(range(4)))
def test_any_other_order_of_strides_is_a_contradiction(order):
    scales = [(1 / STRIDES[level], 1 / STRIDES[level]) for level in order]
    assert (contradiction(SIZES, scales) is None) == (list(order) == sorted(order))


def test_misfits_are_the_levels_that_do_not_span_the_input():
    scales = [(1 / stride, 1 / stride) for stride in STRIDES]
    assert misfits(SIZES, scales) == []
    assert misfits([*SIZES[:2], (13, 24), SIZES[3]], scales) == [2]
    assert misfits([(65, 97), *SIZES[1:]], scales) == []
