"""Crops, weights and levels against the float64 oracle, over the corpus."""

from __future__ import annotations

import numpy as np
import pytest

from msroi_cli import assign_levels, multi_scale_roi_align
from msroi_cli.core.spec import PRESETS
from msroi_cli.core.weights import Axis, axis_weights
from tests import oracle
from tests.corpus import FAR_BOXES, HEIGHT, MAPS, SCALE, WIDTH, boxes, random, rois

pytestmark = pytest.mark.usefixtures("backend")

SIZES = [(1, 1), (7, 7), (3, 5), (2, 9)]
RATIOS = [-1, 0, 1, 2, 5]
ULPS = 4


def errors(crops, expected, features):
    """The distance of each crop to the oracle's, in units in the last place of the largest number of the features."""
    assert crops.shape == expected.shape
    np.testing.assert_array_equal(np.isfinite(crops), np.isfinite(expected))
    dtype = np.float64 if features[0].dtype.itemsize == 8 else np.float32
    largest = max((np.abs(level[np.isfinite(level)]).max(initial=0) for level in features), default=0)
    with np.errstate(invalid="ignore"):
        distance = np.nan_to_num(np.abs(crops - expected), nan=0, posinf=0)
    return distance.max(axis=(1, 2, 3), initial=0) / np.spacing(dtype(largest))


def check(feature, named_boxes, output_size, sampling_ratio, aligned):
    rows = rois(named_boxes)
    out = np.full((len(rows), feature.shape[1], *output_size), 7, np.float64)
    multi_scale_roi_align([feature], rows, [SCALE], output_size, sampling_ratio, aligned=aligned, out=out)
    levels = np.zeros(len(rows), int)
    expected = oracle.pool([feature], rows, [(SCALE, SCALE)], output_size, sampling_ratio, aligned, levels)
    off = dict(zip(named_boxes, errors(out, expected, [feature]), strict=True))
    assert {name: error for name, error in off.items() if error > ULPS} == {}


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("sampling_ratio", RATIOS)
@pytest.mark.parametrize("output_size", SIZES)
@pytest.mark.sampled(7)
def test_awkward_boxes(output_size, sampling_ratio, aligned):
    check(MAPS["plain"], boxes(), output_size, sampling_ratio, aligned)


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("sampling_ratio", [0, 2])
@pytest.mark.parametrize("name", MAPS)
@pytest.mark.sampled(7)
def test_awkward_maps(name, sampling_ratio, aligned):
    feature = MAPS[name]
    check(feature, boxes(*feature.shape[2:]), (3, 5), sampling_ratio, aligned)


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("sampling_ratio", [1, 2, 5])
def test_far_boxes(sampling_ratio, aligned):
    check(MAPS["plain"], FAR_BOXES, (7, 7), sampling_ratio, aligned)


@pytest.mark.parametrize("aligned", [False, True])
def test_far_boxes_with_an_adaptive_grid(aligned):
    within_reach = {name: box for name, box in FAR_BOXES.items() if "1e7" in name}
    check(MAPS["plain"], within_reach, (2, 3), -1, aligned)


@pytest.mark.parametrize("output_size", SIZES)
@pytest.mark.parametrize("compat", PRESETS)
@pytest.mark.sampled(5)
def test_presets_on_a_pyramid(compat, output_size):
    scales = [(0.25, 0.25), (0.125, 0.125), (0.0625, 0.0625)]
    features = [random(2, 3, 64 >> level, 96 >> level, seed=level) for level in range(3)]
    corners = np.sort(np.random.default_rng(1).uniform(-30, 400, (12, 2, 2)), axis=1).reshape(12, 4)
    rows = rois(dict(enumerate(corners)) | boxes(64, 96))
    levels = [oracle.level(row[1:], [4, 8, 16], compat) for row in rows]
    np.testing.assert_array_equal(assign_levels(rows, scales, compat=compat), levels)
    preset = PRESETS[compat]
    expected = oracle.pool(features, rows, scales, output_size, preset.sampling_ratio, preset.aligned, levels)
    crops = multi_scale_roi_align(features, rows, scales, output_size, compat=compat)
    assert errors(crops, expected, features).max() <= ULPS


def test_scales_that_differ_between_the_axes():
    scale, rows = (0.125, 0.3), rois(boxes())
    expected = oracle.pool([MAPS["plain"]], rows, [scale], (3, 5), -1, False, np.zeros(len(rows), int))
    crops = multi_scale_roi_align([MAPS["plain"]], rows, [scale], (3, 5))
    assert errors(crops, expected, [MAPS["plain"]]).max() <= ULPS


def test_many_bins_and_many_samples():
    check(MAPS["plain"], {"inside": (5.3, 7.1, 33.7, 29.9)}, (50, 1), 1, False)
    check(MAPS["plain"], {"inside": (5.3, 7.1, 33.7, 29.9)}, (1, 2), 64, True)


@pytest.mark.parametrize("kind", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("cell", [(0, 0), (0, WIDTH - 1), (4, 6), (HEIGHT - 1, 3), (HEIGHT - 1, WIDTH - 1)])
@pytest.mark.sampled(3)
def test_a_bad_cell_reaches_only_the_bins_whose_samples_touch_it(kind, cell):
    feature = MAPS["plain"].copy()
    clean = multi_scale_roi_align([feature], rois(boxes()), [SCALE], 7)
    feature[:, 1, cell[0], cell[1]] = kind
    crops = multi_scale_roi_align([feature], rois(boxes()), [SCALE], 7)
    for name, box, before, after in zip(boxes(), boxes().values(), clean, crops, strict=True):
        touched = np.outer(
            touching(box[1], box[3], 7, HEIGHT, cell[0]),
            touching(box[0], box[2], 7, WIDTH, cell[1]),
        )
        np.testing.assert_array_equal(~np.isfinite(after[1]), touched, err_msg=name)
        np.testing.assert_array_equal(after[[0, 2]], before[[0, 2]], err_msg=name)
        np.testing.assert_allclose(after[1][~touched], before[1][~touched], rtol=0, atol=2e-6, err_msg=name)


def touching(low, high, bins, size, cell):
    """Which bins of a box along one axis have a sample with `cell` for a neighbour."""
    return [
        any(cell in oracle.neighbours(at, size)[:2] for at in oracle.on_map(positions, size))
        for positions in oracle.samples(low, high, SCALE, bins, -1, False)
    ]


def test_a_cell_whose_weight_is_zero_is_touched_all_the_same():
    feature = np.zeros((1, 1, 4, 4), np.float32)
    feature[0, 0, 2, 2] = np.nan
    on_cell_1 = [[0, 0.5, 0.5, 1.5, 1.5]]
    assert np.isnan(multi_scale_roi_align([feature], on_cell_1, [1], 1, 1)).all()


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("sampling_ratio", [0, 1, 3])
@pytest.mark.parametrize("scale", [1 / 64, 0.25, 0.3, 1, 8])
@pytest.mark.sampled(3)
def test_weights(scale, sampling_ratio, aligned):
    ends = np.array([box[:3:2] for box in (boxes() | FAR_BOXES).values()], np.float32)
    if not sampling_ratio:
        ends = ends[np.abs(ends * scale).max(axis=1) < 2e6]
    check_weights(ends, Axis(WIDTH, scale, 3, sampling_ratio, aligned))


@pytest.mark.parametrize(("low", "high", "size"), [(-2.9122342e7, 142, 13), (-1.910108e7, 174, 1)])
@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.sampled(3)
def test_weights_where_positions_round_by_whole_cells(low, high, size, aligned):
    check_weights(np.array([[low, high]], np.float32), Axis(size, 1.0, 1, 0, aligned))


def check_weights(ends, axis):
    weights = axis_weights(ends[:, 0], ends[:, 1], axis)
    for k, (low, high) in enumerate(ends):
        bins = oracle.samples(low, high, axis.scale, axis.bins, axis.sampling_ratio, axis.aligned)
        for p, positions in enumerate(bins):
            expected = {}
            for at in oracle.on_map(positions, axis.size):
                below, above, share = oracle.neighbours(at, axis.size)
                expected[below] = expected.get(below, 0) + (1 - share) / len(positions)
                expected[above] = expected.get(above, 0) + share / len(positions)
            cells, values = weights.taps(k, p)
            assert cells.tolist() == sorted(expected)
            np.testing.assert_allclose(values, [expected[cell] for cell in cells], rtol=1e-13, atol=1e-300)
