"""What must hold of any boxes, maps and options: sentences of the documentation, put to Hypothesis."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msroi_cli import assign_levels, multi_scale_roi_align
from msroi_cli.core.levels import box_sizes, level_bounds, level_rule, levels_of
from msroi_cli.core.spec import PRESETS, PoolSpec
from msroi_cli.core.weights import Axis, axis_weights
from tests import oracle
from tests.corpus import random

pytestmark = pytest.mark.usefixtures("backend")

HEIGHT, WIDTH = 11, 14
PYRAMID = [random(2, 3, HEIGHT << 1, WIDTH << 1, seed=1), random(2, 3, HEIGHT, WIDTH, seed=2)]
SCALES = [0.25, 0.125]

coordinates = st.floats(-60, 180, width=32)
presets = st.sampled_from(sorted(PRESETS))
sizes = st.tuples(st.integers(1, 8), st.integers(1, 8))
ratios = st.integers(-1, 4)


@st.composite
def corner_boxes(draw, coordinate=coordinates):
    """A box (x1, y1, x2, y2)."""
    x1, x2 = sorted([draw(coordinate), draw(coordinate)])
    y1, y2 = sorted([draw(coordinate), draw(coordinate)])
    return x1, y1, x2, y2


@st.composite
def rois(draw, min_size=1):
    """RoIs (K, 5) float32 on two images."""
    rows = draw(st.lists(st.tuples(st.integers(0, 1), corner_boxes()), min_size=min_size, max_size=12))
    return np.array([(image, *box) for image, box in rows], np.float32).reshape(-1, 5)


@st.composite
def boxes_inside(draw, height=HEIGHT, width=WIDTH, margin=0):
    """A box of at least one cell that lies on the map, `margin` cells from its edges, in whole sixteenths of a cell."""
    ends = []
    for size in (width, height):
        low = draw(st.integers(16 * margin, 16 * (size - margin - 1)))
        ends.append((low / 16, draw(st.integers(low + 16, 16 * (size - margin))) / 16))
    (x1, x2), (y1, y2) = ends
    return x1, y1, x2, y2


def same_bits(one, other):
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def spoil(pyramid):
    """The pyramid with a NaN in the first channel, where many boxes lie."""
    pyramid = [level.copy() for level in pyramid]
    for level in pyramid:
        level[:, 0, 5, 5] = np.nan
    return pyramid


class TestCrops:
    @given(
        boxes_inside(),
        st.floats(-1e3, 1e3, width=32),
        sizes,
        ratios,
        st.booleans(),
        st.sampled_from(["f2", "f4", "f8"]),
    )
    def test_a_constant_map_pools_to_the_constant(self, box, constant, output_size, ratio, aligned, dtype):
        feature = np.full((1, 2, HEIGHT, WIDTH), constant, dtype)
        crops = multi_scale_roi_align([feature], [(0, *box)], [1], output_size, ratio, aligned=aligned)
        assert crops.dtype == feature.dtype
        expected = np.full(crops.shape, feature[0, 0, 0, 0])
        ulp = np.finfo(dtype)
        np.testing.assert_allclose(crops, expected, rtol=4 * ulp.eps, atol=4 * ulp.smallest_subnormal)

    @given(boxes_inside(margin=1), st.integers(-8, 8), st.integers(-8, 8), sizes, ratios, st.booleans())
    def test_a_ramp_pools_to_its_value_at_the_bin_centres(self, box, slope_y, slope_x, output_size, ratio, aligned):
        y, x = np.mgrid[:HEIGHT, :WIDTH]
        ramp = (3 + slope_y * y + slope_x * x).astype(np.float64)[None, None]
        crops = multi_scale_roi_align([ramp], [(0, *box)], [1], output_size, ratio, aligned=aligned)
        offset = 0.5 if aligned else 0
        x1, y1, x2, y2 = np.array(box) - offset
        at_y = y1 + (np.arange(output_size[0])[:, None] + 0.5) * (y2 - y1) / output_size[0]
        at_x = x1 + (np.arange(output_size[1])[None, :] + 0.5) * (x2 - x1) / output_size[1]
        np.testing.assert_allclose(crops[0, 0], 3 + slope_y * at_y + slope_x * at_x, atol=1e-4)

    @given(boxes_inside(), sizes, ratios, st.booleans(), st.booleans())
    def test_flipping_map_and_box_flips_the_crop(self, box, output_size, ratio, flip_y, flip_x):
        feature = PYRAMID[1]
        x1, y1, x2, y2 = box
        if flip_x:
            x1, x2 = WIDTH - x2, WIDTH - x1
        if flip_y:
            y1, y2 = HEIGHT - y2, HEIGHT - y1
        axes = [axis for axis, flipped in ((2, flip_y), (3, flip_x)) if flipped]
        straight = multi_scale_roi_align([feature], [(0, *box)], [1], output_size, ratio, aligned=True)
        mirror = multi_scale_roi_align(
            [np.flip(feature, axes)], [(0, x1, y1, x2, y2)], [1], output_size, ratio, aligned=True
        )
        np.testing.assert_allclose(np.flip(mirror, axes), straight, atol=2e-5)

    @given(boxes_inside(), sizes, ratios, st.booleans())
    def test_transposing_map_and_box_transposes_the_crop(self, box, output_size, ratio, aligned):
        x1, y1, x2, y2 = box
        straight = multi_scale_roi_align([PYRAMID[1]], [(0, *box)], [1], output_size, ratio, aligned=aligned)
        turned = multi_scale_roi_align(
            [PYRAMID[1].swapaxes(2, 3)], [(0, y1, x1, y2, x2)], [1], output_size[::-1], ratio, aligned=aligned
        )
        np.testing.assert_allclose(turned.swapaxes(2, 3), straight, atol=2e-6)

    @given(rois(), sizes, st.integers(-3, 3), presets)
    def test_boxes_and_scale_trade_a_power_of_two(self, rows, output_size, power, compat):
        factor = 2.0**power
        rows = np.round(rows * 256) / 256
        levels = np.arange(len(rows)) % 2
        larger = rows * np.array([1, *[factor] * 4], np.float32)
        one = multi_scale_roi_align(PYRAMID, rows, SCALES, output_size, compat=compat, levels=levels)
        other = multi_scale_roi_align(
            PYRAMID, larger, [scale / factor for scale in SCALES], output_size, compat=compat, levels=levels
        )
        assert same_bits(one, other)

    @given(rois(), sizes, st.integers(-20, 20), presets)
    def test_features_times_a_power_of_two(self, rows, output_size, power, compat):
        factor = np.float32(2.0**power)
        crops = multi_scale_roi_align(PYRAMID, rows, SCALES, output_size, compat=compat)
        scaled = multi_scale_roi_align([level * factor for level in PYRAMID], rows, SCALES, output_size, compat=compat)
        np.testing.assert_array_equal(scaled, crops * factor)

    @given(rois(), sizes, presets)
    def test_values_stay_within_those_of_the_map(self, rows, output_size, compat):
        positive = [np.abs(level) for level in PYRAMID]
        crops = multi_scale_roi_align(positive, rows, SCALES, output_size, compat=compat)
        assert crops.min() >= 0
        assert crops.max() <= max(level.max() for level in positive) * (1 + 1e-6)

    @given(corner_boxes(st.floats(1e3, 1e6, width=32)), sizes, presets)
    def test_a_box_off_the_map_gives_zeros(self, box, output_size, compat):
        assert not multi_scale_roi_align(PYRAMID, [(1, *box)], SCALES, output_size, compat=compat).any()


class TestRows:
    """A row's bits hang on its box, its image and the options, and on nothing else."""

    @given(st.data(), rois(), sizes, ratios, presets)
    def test_permuting_boxes_permutes_crops(self, data, rows, output_size, ratio, compat):
        order = data.draw(st.permutations(range(len(rows))))
        pyramid = spoil(PYRAMID)
        crops = multi_scale_roi_align(pyramid, rows, SCALES, output_size, ratio, compat=compat)
        permuted = multi_scale_roi_align(pyramid, rows[order], SCALES, output_size, ratio, compat=compat)
        assert same_bits(permuted, crops[order])

    @given(st.data(), rois(), sizes, ratios, presets)
    def test_rows_do_not_depend_on_other_boxes(self, data, rows, output_size, ratio, compat):
        k = data.draw(st.integers(0, len(rows) - 1))
        pyramid = spoil(PYRAMID)
        crops = multi_scale_roi_align(pyramid, rows, SCALES, output_size, ratio, compat=compat)
        alone = multi_scale_roi_align(pyramid, rows[k : k + 1], SCALES, output_size, ratio, compat=compat)
        assert same_bits(alone, crops[k : k + 1])

    @given(rois(), sizes, st.integers(0, 3), presets)
    def test_splitting_channels(self, rows, output_size, cut, compat):
        pyramid = spoil(PYRAMID)
        crops = multi_scale_roi_align(pyramid, rows, SCALES, output_size, compat=compat)
        parts = [
            multi_scale_roi_align([level[:, part] for level in pyramid], rows, SCALES, output_size, compat=compat)
            for part in (slice(cut), slice(cut, None))
        ]
        assert same_bits(np.concatenate(parts, axis=1), crops)

    @given(rois(), sizes, presets)
    def test_splitting_images(self, rows, output_size, compat):
        crops = multi_scale_roi_align(PYRAMID, rows, SCALES, output_size, compat=compat)
        for image in (0, 1):
            mine = rows[:, 0] == image
            own = [level[image : image + 1] for level in PYRAMID]
            alone = multi_scale_roi_align(own, rows[mine] * [0, 1, 1, 1, 1], SCALES, output_size, compat=compat)
            assert same_bits(alone, crops[mine])

    @given(rois(), sizes, ratios, presets)
    def test_splitting_levels(self, rows, output_size, ratio, compat):
        crops = multi_scale_roi_align(PYRAMID, rows, SCALES, output_size, ratio, compat=compat)
        levels = assign_levels(rows, SCALES, compat=compat)
        for level, (feature, scale) in enumerate(zip(PYRAMID, SCALES, strict=True)):
            mine = levels == level
            alone = multi_scale_roi_align([feature], rows[mine], [scale], output_size, ratio, compat=compat)
            assert same_bits(alone, crops[mine])

    @given(rois(), sizes, st.integers(1, 9), presets)
    def test_threads_change_nothing(self, rows, output_size, threads, compat):
        crops = multi_scale_roi_align(PYRAMID, rows, SCALES, output_size, compat=compat)
        threaded = multi_scale_roi_align(PYRAMID, rows, SCALES, output_size, compat=compat, threads=threads)
        assert same_bits(threaded, crops)

    @given(rois(), sizes, st.sampled_from(["strided", "channels last", "reversed", "swapped", "unaligned"]), presets)
    def test_the_layout_of_the_features_changes_nothing(self, rows, output_size, layout, compat):
        lay_out = {
            "strided": lambda level: np.repeat(level, 2, axis=3)[..., ::2],
            "channels last": lambda level: level.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2),
            "reversed": lambda level: level[:, ::-1, ::-1, ::-1].copy()[:, ::-1, ::-1, ::-1],
            "swapped": lambda level: level.astype(level.dtype.newbyteorder()),
            "unaligned": lambda level: np.frombuffer(b"\0" + level.tobytes(), "f4", offset=1).reshape(level.shape),
        }[layout]
        pyramid = spoil(PYRAMID)
        crops = multi_scale_roi_align(pyramid, rows, SCALES, output_size, compat=compat)
        other = multi_scale_roi_align([lay_out(level) for level in pyramid], rows, SCALES, output_size, compat=compat)
        assert same_bits(other, crops)

    @given(rois(), sizes, presets)
    def test_float16_features_pool_as_the_same_numbers_in_float32(self, rows, output_size, compat):
        half = [level.astype(np.float16) for level in spoil(PYRAMID)]
        crops = multi_scale_roi_align(half, rows, SCALES, output_size, compat=compat)
        single = multi_scale_roi_align([level.astype("f4") for level in half], rows, SCALES, output_size, compat=compat)
        assert same_bits(crops, single.astype(np.float16))

    @given(rois(min_size=0), sizes, st.sampled_from(["f2", "f4", "f8", ">f4"]), presets)
    def test_out_holds_what_would_have_been_returned(self, rows, output_size, dtype, compat):
        crops = multi_scale_roi_align(PYRAMID, rows, SCALES, output_size, compat=compat)
        out = np.full((*crops.shape[:3], 2 * crops.shape[3]), 7, dtype)
        view = out[..., ::-2]
        assert multi_scale_roi_align(PYRAMID, rows, SCALES, output_size, compat=compat, out=view) is view
        np.testing.assert_array_equal(view, crops.astype(dtype))
        assert (out[..., ::2] == 7).all()


axes = st.builds(
    Axis,
    size=st.integers(1, 40),
    scale=st.sampled_from([1 / 64, 1 / 32, 0.25, 0.3, 1.0, 2.0]),
    bins=st.integers(1, 9),
    sampling_ratio=st.integers(0, 5),
    aligned=st.booleans(),
)
intervals = st.lists(st.tuples(coordinates, coordinates).map(sorted), max_size=6)


class TestAxisWeights:
    @given(intervals, axes)
    def test_a_bin_is_a_band_of_weights_that_share_one(self, ends, axis):
        low, high = np.array(ends, np.float32).reshape(-1, 2).T
        weights = axis_weights(low, high, axis)
        assert weights.bins == axis.bins
        assert weights.offsets.shape == (len(ends) * axis.bins + 1,)
        assert weights.offsets[0] == 0
        assert weights.offsets[-1] == len(weights.cell) == len(weights.weight)
        assert (np.diff(weights.offsets) >= 0).all()
        for k in range(len(ends)):
            positions = oracle.samples(low[k], high[k], axis.scale, axis.bins, axis.sampling_ratio, axis.aligned)
            for p in range(axis.bins):
                cells, values = weights.taps(k, p)
                assert (np.diff(cells) > 0).all()
                assert ((cells >= 0) & (cells < axis.size)).all()
                assert (values >= 0).all()
                on_map = len(oracle.on_map(positions[p], axis.size))
                assert values.sum() == pytest.approx(on_map / max(len(positions[p]), 1), rel=1e-12)

    @given(intervals, axes)
    def test_a_matrix_holds_the_taps_of_its_bins(self, ends, axis):
        low, high = np.array(ends, np.float32).reshape(-1, 2).T
        weights = axis_weights(low, high, axis)
        for k in range(len(ends)):
            cells, matrix = weights.band(k)
            assert matrix.shape == (axis.bins, len(cells))
            full = np.zeros((axis.bins, axis.size))
            for p in range(axis.bins):
                taps, values = weights.taps(k, p)
                full[p, taps] = values
            np.testing.assert_array_equal(full[:, cells], matrix)
            assert matrix.sum() == pytest.approx(full.sum())


@st.composite
def specs(draw):
    """A level rule of any preset, with canonical values and strides of its own."""
    compat, count, first = draw(presets), draw(st.integers(1, 6)), draw(st.integers(-1, 6))
    return PoolSpec.resolve(
        [2.0 ** -(first + level) for level in range(count)],
        7,
        compat=compat,
        canonical_level=draw(st.none() | st.integers(-5, 40)),
        canonical_scale=draw(st.none() | st.floats(0.01, 1e4)),
    )


def expected_level(box, spec):
    strides = [1 / y for y, _ in spec.spatial_scales]
    return oracle.level(box, strides, spec.compat, l0=spec.canonical_level, s0=spec.canonical_scale)


def square(size):
    return np.array([[0, 0, size, size]], np.float32)


class TestLevels:
    @given(specs(), st.lists(corner_boxes(st.floats(-2000, 2000, width=32)), max_size=20))
    def test_levels_follow_the_formula(self, spec, corners):
        boxes = np.array(corners, np.float32).reshape(-1, 4)
        assert levels_of(boxes, spec).tolist() == [expected_level(box, spec) for box in boxes]

    @given(specs(), st.integers(-8, 8))
    def test_powers_of_two_times_the_canonical_scale(self, spec, power):
        exact = np.float32(spec.canonical_scale) * np.float32(2.0**power)
        for size in (np.nextafter(exact, np.float32(0)), exact, np.nextafter(exact, np.float32(np.inf))):
            assert levels_of(square(size), spec) == [expected_level(square(size)[0], spec)]

    @pytest.mark.parametrize("compat", PRESETS)
    def test_sizes_on_both_sides_of_a_bound(self, compat):
        spec = PoolSpec.resolve([1 / 4, 1 / 8, 1 / 16, 1 / 32], 7, compat=compat)
        for bound in level_bounds(spec):
            for size in bound + np.arange(-40, 41, dtype=np.float32) * np.spacing(bound):
                assert levels_of(square(size), spec) == [expected_level(square(size)[0], spec)]

    @given(specs())
    def test_bounds_are_where_the_rule_steps(self, spec):
        bounds = level_bounds(spec)
        levels = range(1, len(spec.spatial_scales))
        assert bounds.shape == (len(levels),)
        assert (np.diff(bounds) >= 0).all()
        for level, bound in zip(levels, bounds, strict=True):
            number = level + spec.lowest_level()
            assert level_rule(bound, spec) >= number
            if bound > 0:
                assert level_rule(np.nextafter(bound, np.float32(0)), spec) < number

    @given(specs(), st.lists(st.floats(0, 2.0**31, width=32), min_size=2))
    def test_a_larger_box_is_never_on_a_finer_level(self, spec, sides):
        levels = levels_of(np.concatenate([square(side) for side in sorted(sides)]), spec)
        assert (np.diff(levels) >= 0).all()

    @given(specs(), corner_boxes(), st.integers(-50, 50), st.integers(-50, 50))
    def test_only_the_area_counts(self, spec, box, dx, dy):
        boxes = np.float32(np.round(box) + np.array([[0, 0, 0, 0], [dx, dy, dx, dy]]))
        x1, y1, x2, y2 = boxes[0]
        turned = np.vstack([boxes, np.float32([[y1, x1, y2, x2]])])
        assert len(set(levels_of(turned, spec).tolist())) == 1

    @given(corner_boxes())
    def test_the_size_of_a_box(self, box):
        x1, y1, x2, y2 = np.float32(box)
        assert box_sizes(np.float32([box])) == [np.sqrt((x2 - x1) * (y2 - y1))]

    @pytest.mark.parametrize("compat", PRESETS)
    def test_a_point_is_on_the_finest_level(self, compat):
        scales = [1 / 4, 1 / 8, 1 / 16, 1 / 32]
        assert assign_levels([[5, 5, 5, 5], [0, 0, 0, 900]], scales, compat=compat).tolist() == [0, 0]

    @pytest.mark.parametrize("compat", PRESETS)
    def test_the_presets_agree_on_the_canonical_box(self, compat):
        scales = [1 / 4, 1 / 8, 1 / 16, 1 / 32]
        corners = [[0, 0, side, side] for side in (56, 111, 112, 223, 224, 447, 448, 2000)]
        assert assign_levels(corners, scales, compat=compat).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]

    def test_absolute_rules_count_by_stride_and_the_others_by_index(self):
        scales = [1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 128]
        box = [[0, 0, 224, 224]]
        levels = {compat: assign_levels(box, scales, compat=compat).item() for compat in PRESETS}
        assert levels == {"lucid": 2, "torchvision": 1, "detectron2": 1, "mmdet": 2}
