"""What the library's calls take, and how they refuse what they do not: where, what was expected, what came."""

from __future__ import annotations

import re

import numpy as np
import pytest

from msroi_cli import MultiScaleROIAlign, assign_levels, multi_scale_roi_align
from msroi_cli.core.spec import MAX_SAMPLING_RATIO, PRESETS, PoolSpec
from msroi_cli.errors import ArgumentError, MsroiError
from tests.corpus import random

FEATURES = [random(2, 3, 16, 20, seed=1), random(2, 3, 8, 10, seed=2)]
ROIS = np.array([[0, 4, 4, 40, 30], [1, 10.5, 0, 60, 60]], np.float32)
SCALES = [1 / 4, 1 / 8]


def pool(**changes):
    """A good call of `multi_scale_roi_align` but for `changes`."""
    arguments = {"features": FEATURES, "rois": ROIS, "spatial_scales": SCALES, "output_size": (2, 3)} | changes
    return multi_scale_roi_align(**arguments)


def second_level(array):
    return {"features": [FEATURES[0], array]}


def rois(*box, image=0):
    """Two good RoIs and a third."""
    return {"rois": [[0, 1, 1, 2, 2], [1, 1, 1, 2, 2], [image, *box]]}


def read_only(array):
    array.flags.writeable = False
    return array


INF, NAN = float("inf"), float("nan")

# The change to a good call; then what the message says, word for word up to a regular expression.
BAD_FEATURES = {
    "one array": ({"features": FEATURES[0]}, "features: expected a sequence of levels (N, C, H, W), got ndarray"),
    "a mapping of one level": ({"features": {"p2": 1}}, "features: expected 2 levels like spatial_scales, got 1"),
    "a string": ({"features": "p2"}, "features: expected a sequence of levels (N, C, H, W), got str"),
    "nothing": ({"features": None}, "features: expected a sequence of levels (N, C, H, W), got NoneType"),
    "a generator": ({"features": iter(FEATURES)}, "features: expected a sequence of levels (N, C, H, W), got list_it"),
    "a level short": ({"features": FEATURES[:1]}, "features: expected 2 levels like spatial_scales, got 1"),
    "a level more": ({"features": [*FEATURES, FEATURES[1]]}, "features: expected 2 levels like spatial_scales, got 3"),
    "no levels": ({"features": []}, "features: expected 2 levels like spatial_scales, got 0"),
    "3-D": (
        {"features": [level[0] for level in FEATURES]},
        "features[0]: expected (N, C, H, W) float16, float32 or float64, got (3, 16, 20) float32",
    ),
    "integers": (
        {"features": [level.astype(int) for level in FEATURES]},
        "features[0]: expected (N, C, H, W) float16, float32 or float64, got (2, 3, 16, 20) int64",
    ),
    "complex": (
        second_level(FEATURES[1].astype(complex)),
        "features[1]: expected (N, C, H, W) float16, float32 or float64, got (2, 3, 8, 10) complex128",
    ),
    "objects": (
        second_level([[object()]]),
        "features[1]: expected (N, C, H, W) float16, float32 or float64, got (1, 1)",
    ),
    "ragged lists": (second_level([[1.0], [1.0, 2.0]]), "features[1]: expected an array that NumPy can view, got list"),
    "mixed dtypes": (
        second_level(FEATURES[1].astype(np.float64)),
        "features[1]: expected (2, 3, H, W) float32 like features[0], got (2, 3, 8, 10) float64",
    ),
    "mixed channels": (
        second_level(FEATURES[1][:, :2]),
        "features[1]: expected (2, 3, H, W) float32 like features[0], got (2, 2, 8, 10) float32",
    ),
    "mixed images": (
        second_level(FEATURES[1][:1]),
        "features[1]: expected (2, 3, H, W) float32 like features[0], got (1, 3, 8, 10) float32",
    ),
    "no rows": (
        second_level(FEATURES[1][:, :, :0]),
        "features[1]: expected a map of at least 1 x 1 cells, got (2, 3, 0, 10)",
    ),
    "no columns": (
        second_level(FEATURES[1][..., :0]),
        "features[1]: expected a map of at least 1 x 1 cells, got (2, 3, 8, 0)",
    ),
}
BAD_ROIS = {
    "(K, 4)": ({"rois": ROIS[:, 1:]}, "rois: expected (K, 5) numbers, got (2, 4) float32"),
    "(0, 4)": ({"rois": np.zeros((0, 4))}, "rois: expected (K, 5) numbers, got (0, 4) float64"),
    "one row": ({"rois": ROIS[0]}, "rois: expected (K, 5) numbers, got (5,) float32"),
    "3-D": ({"rois": ROIS[None]}, "rois: expected (K, 5) numbers, got (1, 2, 5) float32"),
    "None": ({"rois": None}, "rois: expected (K, 5) numbers, got () object"),
    "text": ({"rois": [["1"] * 5]}, "rois: expected (K, 5) numbers, got (1, 5) <U1"),
    "complex": ({"rois": ROIS.astype(complex)}, "rois: expected (K, 5) numbers, got (2, 5) complex128"),
    "truth values": ({"rois": ROIS > 3}, "rois: expected (K, 5) numbers, got (2, 5) bool"),
    "ragged": ({"rois": [[0, 1], [0]]}, "rois: expected an array that NumPy can view, got list"),
    "image 2 of 2": (rois(1, 1, 2, 2, image=2), "rois[2]: expected a batch index from 0 to 1, got 2"),
    "image -1": (rois(1, 1, 2, 2, image=-1), "rois[2]: expected a batch index from 0 to 1, got -1"),
    "image 0.5": (rois(1, 1, 2, 2, image=0.5), "rois[2]: expected a batch index from 0 to 1, got 0.5"),
    "image NaN": (rois(1, 1, 2, 2, image=NAN), "rois[2]: expected a batch index from 0 to 1, got nan"),
    "image inf": (rois(1, 1, 2, 2, image=INF), "rois[2]: expected a batch index from 0 to 1, got inf"),
    "NaN": (
        rois(1, NAN, 2, 2),
        "rois[2]: expected a finite box with x1 <= x2 and y1 <= y2, got (1, nan, 2, 2): not finite",
    ),
    "inf": (
        rois(1, 1, INF, 2),
        "rois[2]: expected a finite box with x1 <= x2 and y1 <= y2, got (1, 1, inf, 2): not finite",
    ),
    "-inf": (
        rois(-INF, 1, 2, 2),
        "rois[2]: expected a finite box with x1 <= x2 and y1 <= y2, got (-inf, 1, 2, 2): not finite",
    ),
    "inf in float32": (
        rois(1, 1, 1e39, 2),
        "rois[2]: expected a finite box with x1 <= x2 and y1 <= y2, got (1, 1, 1e+39, 2): not finite",
    ),
    "x inverted": (
        rois(3, 1, 2, 2),
        "rois[2]: expected a finite box with x1 <= x2 and y1 <= y2, got (3, 1, 2, 2): x2 < x1",
    ),
    "y inverted": (
        rois(1, 2.5, 2, 2),
        "rois[2]: expected a finite box with x1 <= x2 and y1 <= y2, got (1, 2.5, 2, 2): y2 < y1",
    ),
    "too far": (
        rois(1, 1, 2, 2**30 + 100),
        "rois[2]: expected a finite box with x1 <= x2 and y1 <= y2, got (1, 1, 2, 1.07374e+09): too far out",
    ),
    "too far, integers": (
        {"rois": [[0, -(2**62), 0, 0, 0]]},
        "rois[0]: expected a finite box with x1 <= x2 and y1 <= y2, got (-4.61169e+18, 0, 0, 0): too far out",
    ),
}
BAD_LEVELS = {
    "one short": ({"levels": [0]}, "levels: expected (2,) integers, got (1,) int64"),
    "a number": ({"levels": 0}, "levels: expected (2,) integers, got () int64"),
    "2-D": ({"levels": [[0], [1]]}, "levels: expected (2,) integers, got (2, 1) int64"),
    "float": ({"levels": [0.0, 1.0]}, "levels: expected (2,) integers, got (2,) float64"),
    "truth values": ({"levels": [True, False]}, "levels: expected (2,) integers, got (2,) bool"),
    "too high": ({"levels": [0, 2]}, "levels[1]: expected 0 to 1, got 2"),
    "negative": ({"levels": [-1, 0]}, "levels[0]: expected 0 to 1, got -1"),
    "ragged": ({"levels": [[0], [0, 1]]}, "levels: expected "),
}
BAD_OUT = {
    "shape": (
        {"out": np.zeros((2, 3, 3, 2), np.float32)},
        "out: expected an array (2, 3, 2, 3) float16, float32 or float64, got (2, 3, 3, 2) float32",
    ),
    "dtype": (
        {"out": np.zeros((2, 3, 2, 3), np.int32)},
        "out: expected an array (2, 3, 2, 3) float16, float32 or float64, got (2, 3, 2, 3) int32",
    ),
    "a list": ({"out": []}, "out: expected an array (2, 3, 2, 3) float16, float32 or float64, got list"),
    "read-only": (
        {"out": read_only(np.zeros((2, 3, 2, 3)))},
        "out: expected a writable array, got a read-only one",
    ),
}
BAD_THREADS = {
    "0": ({"threads": 0}, "threads: expected 1 to 4096, got 0"),
    "-1": ({"threads": -1}, "threads: expected 1 to 4096, got -1"),
    "more than any machine has": ({"threads": 3_000_000_000}, "threads: expected 1 to 4096, got 3000000000"),
    "1.5": ({"threads": 1.5}, "threads: expected a.*, got 1.5"),
    "text": ({"threads": "2"}, "threads: expected a.*, got '2'"),
    "an array": ({"threads": np.array([1, 2])}, "threads: expected a.*, got array"),
}
BAD_SPECS = {
    "output_size=0": ({"output_size": 0}, "output_size: expected 1 to 4096 bins a side, got 0 x 0"),
    "output_size=(7, 0)": ({"output_size": (7, 0)}, "output_size: expected 1 to 4096 bins a side, got 7 x 0"),
    "output_size=-7": ({"output_size": -7}, "output_size: expected 1 to 4096 bins a side, got -7 x -7"),
    "output_size=(7,)": (
        {"output_size": (7,)},
        "output_size: expected an integer or a (height, width) pair, got (7,)",
    ),
    "output_size=(7, 7, 7)": (
        {"output_size": (7, 7, 7)},
        "output_size: expected an integer or a (height, width) pair, got (7, 7, 7)",
    ),
    "output_size='7'": ({"output_size": "7"}, "output_size: expected an integer or a (height, width) pair, got '7'"),
    "output_size='77'": ({"output_size": "77"}, "output_size: expected an integer or a (height, width) pair, got '77'"),
    "output_size=7.5": ({"output_size": 7.5}, "output_size: expected an integer, got 7.5"),
    "output_size=(7, 7.0)": ({"output_size": (7, 7.0)}, "output_size: expected an integer, got 7.0"),
    "output_size=None": ({"output_size": None}, "output_size: expected an integer, got None"),
    "sampling_ratio=-2": ({"sampling_ratio": -2}, "sampling_ratio: expected .* 1 to 1024 samples, got -2"),
    "sampling_ratio=2000": ({"sampling_ratio": 2000}, "sampling_ratio: expected .* 1 to 1024 samples, got 2000"),
    "sampling_ratio=1.5": ({"sampling_ratio": 1.5}, "sampling_ratio: expected an integer, got 1.5"),
    "sampling_ratio='2'": ({"sampling_ratio": "2"}, "sampling_ratio: expected an integer, got '2'"),
    "canonical_level=1.5": ({"canonical_level": 1.5}, "canonical_level: expected an integer, got 1.5"),
    "canonical_level=10**400": ({"canonical_level": 10**400}, "canonical_level: expected "),
    "canonical_scale=0": ({"canonical_scale": 0}, "canonical_scale: expected a number above 0, got 0"),
    "canonical_scale=-1": ({"canonical_scale": -1}, "canonical_scale: expected a number above 0, got -1"),
    "canonical_scale=nan": ({"canonical_scale": NAN}, "canonical_scale: expected a number above 0, got nan"),
    "canonical_scale=inf": ({"canonical_scale": INF}, "canonical_scale: expected a number above 0, got inf"),
    "canonical_scale='x'": ({"canonical_scale": "x"}, "canonical_scale: expected a number above 0, got 'x'"),
    "canonical_scale=[1, 2]": ({"canonical_scale": [1, 2]}, "canonical_scale: expected a number above 0, got [1, 2]"),
    "canonical_scale=1e300": ({"canonical_scale": 1e300}, "canonical_scale: expected "),
    "canonical_scale=1e-300": ({"canonical_scale": 1e-300}, "canonical_scale: expected "),
    "canonical_scale=10**400": ({"canonical_scale": 10**400}, "canonical_scale: expected "),
    "no scales": ({"spatial_scales": []}, "spatial_scales: expected one scale a level, got none"),
    "spatial_scales=0.25": (
        {"spatial_scales": 0.25},
        "spatial_scales: expected one number or (y, x) pair a level, got 0.25",
    ),
    "spatial_scales=array(0.25)": (
        {"spatial_scales": np.array(0.25)},
        "spatial_scales: expected one number or (y, x) pair a level, got array",
    ),
    "spatial_scales='0.25'": (
        {"spatial_scales": "0.25"},
        "spatial_scales: expected one number or (y, x) pair a level, got '0.25'",
    ),
    "a negative scale": ({"spatial_scales": [0.25, -1]}, "spatial_scales[1]: expected a number above 0, got -1"),
    "a scale of 0": ({"spatial_scales": [0.25, 0]}, "spatial_scales[1]: expected a number above 0, got 0"),
    "a NaN scale": ({"spatial_scales": [NAN, 0.25]}, "spatial_scales[0]: expected a number above 0, got nan"),
    "a NaN in a pair": (
        {"spatial_scales": [0.25, (0.125, NAN)]},
        "spatial_scales[1]: expected a number above 0, got nan",
    ),
    "a triple": (
        {"spatial_scales": [0.25, (1, 2, 3)]},
        "spatial_scales[1]: expected a number or a (y, x) pair, got (1, 2, 3)",
    ),
    "text for a scale": (
        {"spatial_scales": ["12", 0.25]},
        "spatial_scales[0]: expected a number or a (y, x) pair, got '12'",
    ),
    "a scale out of all proportion": ({"spatial_scales": [0.25, 1e10]}, "spatial_scales[1]: expected "),
    "a scale beyond float32": ({"spatial_scales": [1e-60, 0.25]}, "spatial_scales[0]: expected "),
    "compat='caffe'": (
        {"compat": "caffe"},
        "compat: expected one of lucid, torchvision, detectron2, mmdet, got 'caffe'",
    ),
    "compat=None": ({"compat": None}, "compat: expected one of lucid, torchvision, detectron2, mmdet, got None"),
    "compat=['lucid']": ({"compat": ["lucid"]}, "compat: expected one of lucid.*, got ['lucid']"),
    "aligned='no'": ({"aligned": "no"}, "aligned: expected True or False, got 'no'"),
    "strides that do not double": (
        {"compat": "torchvision", "spatial_scales": [1 / 4, 1 / 16]},
        "spatial_scales: expected strides that double from level to level, because compat='torchvision' counts levels "
        "by their stride, got strides 4, 16",
    ),
    "strides that shrink": (
        {"compat": "detectron2", "spatial_scales": [1 / 8, 1 / 4]},
        "spatial_scales: expected strides that double .* compat='detectron2' .*, got strides 8, 4",
    ),
}


def cases(*tables):
    return [pytest.param(*case, id=name) for table in tables for name, case in table.items()]


def message(text):
    """The pattern of a message that begins with `text`, where `.*` stands for anything."""
    return "^" + re.escape(text).replace(r"\.\*", ".*")


class TestErrors:
    @pytest.mark.parametrize(
        ("change", "text"), cases(BAD_FEATURES, BAD_ROIS, BAD_LEVELS, BAD_OUT, BAD_THREADS, BAD_SPECS)
    )
    def test_multi_scale_roi_align(self, change, text):
        with pytest.raises(ValueError, match=message(text)) as raised:
            pool(**change)
        assert isinstance(raised.value, ArgumentError)
        assert "\n" not in str(raised.value)

    @pytest.mark.parametrize(("change", "text"), cases(BAD_SPECS))
    def test_pool_spec(self, change, text):
        arguments = {"spatial_scales": SCALES, "output_size": 7} | change
        with pytest.raises(ArgumentError, match=message(text)):
            PoolSpec.resolve(**arguments)

    @pytest.mark.parametrize(
        ("boxes", "text"),
        [
            (ROIS[:, :3], "boxes: expected (K, 4) .*, got (2, 3) float32"),
            (ROIS[0, 1:], "boxes: expected (K, 4) .*, got (4,) float32"),
            (None, "boxes: expected (K, 4) .*, got () object"),
            ([["a"] * 4], "boxes: expected (K, 4) .*, got (1, 4) <U1"),
            ([[1, 2, 3, 4], [1]], "boxes: expected "),
            ([[0, 0, 1, 1], [0, NAN, 1, 1]], "boxes[1]: expected a finite box .*, got (0, nan, 1, 1): not finite"),
            ([[0, 0, 0, 1, 1], [7, 1, 0, 0, 1]], "boxes[1]: expected a finite box .*, got (1, 0, 0, 1): x2 < x1"),
        ],
    )
    def test_assign_levels(self, boxes, text):
        with pytest.raises(ArgumentError, match=message(text)):
            assign_levels(boxes, SCALES)

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"spatial_scales": []}, "spatial_scales: expected one scale a level, got none"),
            ({"compat": "caffe"}, "compat: expected one of "),
            ({"canonical_scale": 0}, "canonical_scale: expected a number above 0, got 0"),
            ({"canonical_level": "2"}, "canonical_level: expected an integer, got '2'"),
        ],
    )
    def test_options_of_assign_levels(self, options, text):
        with pytest.raises(ArgumentError, match=message(text)):
            assign_levels(**({"boxes": ROIS, "spatial_scales": SCALES} | options))

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"output_size": 0}, "output_size: expected 1 to 4096 bins a side, got 0 x 0"),
            ({"output_size": "7"}, "output_size: expected an integer or a (height, width) pair, got '7'"),
            ({"output_size": 7, "canonical_level": 0.5}, "canonical_level: expected an integer, got 0.5"),
            ({"output_size": 7, "canonical_scale": -1}, "canonical_scale: expected a number above 0, got -1"),
            ({"output_size": 7, "canocical_scale": 0}, "canonical_scale: expected a number above 0, got 0"),
        ],
    )
    def test_the_class_complains_when_it_is_made(self, options, text):
        with pytest.raises(ArgumentError, match=message(text)):
            MultiScaleROIAlign(**options)

    def test_the_class_complains_when_it_is_called(self):
        align = MultiScaleROIAlign(7)
        with pytest.raises(ArgumentError, match=message("rois: expected (K, 5) numbers, got (2, 4) float32")):
            align(FEATURES, ROIS[:, 1:], SCALES)
        with pytest.raises(ArgumentError, match=message("sampling_ratio: expected ")):
            align(FEATURES, ROIS, SCALES, sampling_ratio=-2)

    def test_boxes_on_no_images(self):
        with pytest.raises(ArgumentError, match=r"^rois\[0\]: expected .*, got 0"):
            pool(features=[level[:0] for level in FEATURES])

    def test_an_argument_error_is_the_users_to_mend(self):
        assert issubclass(ArgumentError, MsroiError)
        assert ArgumentError.exit_code == 2

    def test_a_refused_call_writes_nothing(self):
        out = np.full((3, 3, 2, 3), 7, np.float32)
        with pytest.raises(ArgumentError):
            pool(**rois(3, 1, 2, 2), out=out)
        with pytest.raises(ArgumentError):
            pool(**rois(1, 1, 2, 2), out=out, threads=0)
        assert (out == 7).all()


class OnlyDLPack:
    """An array that speaks DLPack and nothing else."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class OnlyArray:
    """An array that NumPy can ask for."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


@pytest.mark.usefixtures("backend")
class TestGoodCalls:
    def test_the_example_of_the_class(self):
        features = [random(1, 256, 64 >> level, 64 >> level, seed=level) for level in range(4)]
        rois = [[0, 10, 10, 200, 150]]
        scales = [1 / 4, 1 / 8, 1 / 16, 1 / 32]
        crops = MultiScaleROIAlign(output_size=(7, 7))(features, rois, scales)
        assert crops.shape == (1, 256, 7, 7)
        assert crops.dtype == np.float32
        np.testing.assert_array_equal(crops, multi_scale_roi_align(features, rois, scales, 7, -1, compat="lucid"))

    def test_the_class_passes_on_what_it_was_made_with(self):
        align = MultiScaleROIAlign((2, 3), canonical_level=1, canonical_scale=32)
        expected = pool(sampling_ratio=2, canonical_level=1, canonical_scale=32)
        np.testing.assert_array_equal(align(FEATURES, ROIS, SCALES, sampling_ratio=2), expected)
        np.testing.assert_array_equal(align(FEATURES, ROIS, SCALES, 2), expected)

    def test_both_spellings_of_canonical_scale(self):
        ported, ours = MultiScaleROIAlign(7, 1, canocical_scale=40), MultiScaleROIAlign(7, 1, 40)
        assert ported.canonical_scale == ours.canonical_scale == 40
        assert repr(ported) == repr(ours)
        np.testing.assert_array_equal(ported(FEATURES, ROIS, SCALES), ours(FEATURES, ROIS, SCALES))

    @pytest.mark.parametrize("scales", [(40, 50), (224, 40), (40, 224)])
    def test_both_spellings_that_differ(self, scales):
        with pytest.raises(
            ValueError, match=f"canocical_scale: expected without canonical_scale.*{scales[1]} and {scales[0]}"
        ):
            MultiScaleROIAlign(7, 1, scales[0], canocical_scale=scales[1])

    def test_both_spellings_that_agree(self):
        assert MultiScaleROIAlign(7, 1, 40, canocical_scale=40.0).canonical_scale == 40

    def test_the_class_shows_what_it_holds(self):
        text = "MultiScaleROIAlign(output_size=(7, 7), canonical_level=2, canonical_scale=224)"
        assert repr(MultiScaleROIAlign(7)) == text

    @pytest.mark.parametrize("empty", [np.zeros((0, 5)), np.zeros((0, 5), int), [], ()])
    def test_no_boxes(self, empty):
        assert pool(rois=empty).shape == (0, 3, 2, 3)
        assert pool(rois=empty, levels=[]).shape == (0, 3, 2, 3)

    @pytest.mark.parametrize("empty", [np.zeros((0, 5)), np.zeros((0, 4)), []])
    def test_levels_of_no_boxes(self, empty):
        levels = assign_levels(empty, SCALES)
        assert levels.shape == (0,)
        assert levels.dtype == np.int64

    def test_no_images(self):
        assert pool(features=[level[:0] for level in FEATURES], rois=[]).shape == (0, 3, 2, 3)

    def test_no_channels(self):
        assert pool(features=[level[:, :0] for level in FEATURES]).shape == (2, 0, 2, 3)

    @pytest.mark.parametrize("compat", PRESETS)
    def test_one_level(self, compat):
        alone = pool(features=FEATURES[1:], spatial_scales=SCALES[1:], compat=compat)
        np.testing.assert_array_equal(alone, pool(levels=[1, 1], compat=compat))

    @pytest.mark.parametrize(
        "scales",
        [
            [(1 / 4, 1 / 4), (1 / 8, 1 / 8)],
            [(1 / 4, 1 / 4), 1 / 8],
            np.array(SCALES),
            np.array([[1 / 4, 1 / 4], [1 / 8, 1 / 8]], np.float32),
            tuple(np.float64(scale) for scale in SCALES),
            (np.array([1 / 4, 1 / 4]), np.array(1 / 8)),
        ],
    )
    def test_ways_to_say_the_scales(self, scales):
        np.testing.assert_array_equal(pool(spatial_scales=scales), pool())

    def test_pairs_are_y_then_x(self):
        whole = [[0, 0, 0, 80, 32]]
        crop = pool(features=FEATURES[:1], rois=whole, spatial_scales=[(1 / 2, 1 / 4)])
        np.testing.assert_array_equal(
            crop, pool(features=FEATURES[:1], rois=[[0, 0, 0, 80, 64]], spatial_scales=[0.25])
        )

    @pytest.mark.parametrize("size", [7, (7, 7), [7, 7], np.int8(7), np.array([7, 7]), np.array(7)])
    def test_ways_to_say_the_output_size(self, size):
        assert pool(output_size=size).shape == (2, 3, 7, 7)

    def test_output_size_is_height_then_width(self):
        assert pool(output_size=(2, 5)).shape == (2, 3, 2, 5)

    @pytest.mark.parametrize("ratio", [-1, 0, np.int64(0)])
    def test_adaptive_sampling_ratios(self, ratio):
        np.testing.assert_array_equal(pool(sampling_ratio=ratio), pool())

    def test_the_largest_sampling_ratio(self):
        near = pool(features=[np.ones((1, 1, 4, 4))], spatial_scales=[1], rois=[[0, 1, 1, 3, 3]], output_size=1)
        most = pool(
            features=[np.ones((1, 1, 4, 4))],
            spatial_scales=[1],
            rois=[[0, 1, 1, 3, 3]],
            output_size=1,
            sampling_ratio=MAX_SAMPLING_RATIO,
        )
        np.testing.assert_allclose(near, most)

    @pytest.mark.parametrize("dtype", ["i2", "u1", "i8", "f2", ">f4", ">f8"])
    def test_number_types_of_rois(self, dtype):
        whole = np.floor(ROIS)
        np.testing.assert_array_equal(pool(rois=whole.astype(dtype)), pool(rois=whole))
        np.testing.assert_array_equal(assign_levels(whole.astype(dtype), SCALES), assign_levels(whole, SCALES))

    def test_boxes_are_rounded_to_float32_once(self):
        fine = ROIS.astype(np.float64) + 1e-12
        np.testing.assert_array_equal(pool(rois=fine * [1, 1, 1, 1, 1] - [1e-12, 0, 0, 0, 0]), pool())

    def test_a_box_that_only_rounding_inverts_or_flattens_is_good(self):
        assert np.isfinite(pool(rois=[[0, 1, 1, 1 + 1e-12, 5]])).all()

    def test_the_farthest_good_box(self):
        assert np.isfinite(pool(rois=[[0, -(2**30), -(2**30), 2**30, 2**30]])).all()

    def test_lists(self):
        crops = pool(features=[level.tolist() for level in FEATURES], rois=ROIS.tolist())
        assert crops.dtype == np.float64
        np.testing.assert_allclose(crops, pool(), atol=1e-5)

    @pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f2", ">f4", ">f8"])
    def test_crops_come_in_the_dtype_of_the_features(self, dtype):
        crops = pool(features=[level.astype(dtype) for level in FEATURES])
        assert crops.dtype == np.dtype(dtype).newbyteorder("=")
        assert crops.dtype.isnative
        assert crops.flags.c_contiguous

    @pytest.mark.parametrize("wrap", [OnlyDLPack, OnlyArray, memoryview, np.asfortranarray])
    def test_arrays_of_other_libraries(self, wrap):
        np.testing.assert_array_equal(pool(features=[wrap(level) for level in FEATURES], rois=wrap(ROIS)), pool())
        np.testing.assert_array_equal(assign_levels(wrap(ROIS), SCALES), assign_levels(ROIS, SCALES))

    def test_an_array_that_will_not_be_viewed(self):
        swapped = [OnlyDLPack(level.astype(">f4")) for level in FEATURES]
        with pytest.raises(
            ArgumentError, match=message("features[0]: expected an array that NumPy can view, got OnlyDLPack")
        ):
            pool(features=swapped)

    @pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4"])
    def test_out(self, dtype):
        out = np.full((2, 3, 2, 3), 7, dtype)
        assert pool(out=out) is out
        np.testing.assert_array_equal(out, pool().astype(dtype))

    def test_out_of_any_strides(self):
        out = np.full((3, 4, 3, 5), 7, np.float32)
        view = out.transpose(1, 0, 3, 2)[1:3, :, 4:1:-2, ::-1]
        assert pool(out=view) is view
        np.testing.assert_array_equal(view, pool())
        assert np.count_nonzero(out == 7) == out.size - view.size

    @pytest.mark.parametrize("overlap", ["features[1]", "features[0]", "rois"])
    def test_out_that_overlaps_an_input(self, overlap):
        memory = np.zeros(4000, np.float32)
        size = FEATURES[1].size
        features = [FEATURES[0].astype("f4"), FEATURES[1].astype("f4")]
        inputs = {"features": features, "rois": ROIS.copy()}
        out = memory[size - 1 : size + 35].reshape(2, 3, 2, 3)
        if overlap == "rois":
            inputs["rois"] = memory[size : size + 10].reshape(2, 5)
            inputs["rois"][...] = ROIS
        elif overlap == "features[1]":
            features[1] = memory[:size].reshape(FEATURES[1].shape)
        else:
            features[0] = memory[size : size + FEATURES[0].size].reshape(FEATURES[0].shape)
        with pytest.raises(
            ValueError, match=re.escape(f"out: expected memory of its own, got an array that overlaps {overlap}")
        ):
            pool(**inputs, out=out)

    def test_out_beside_the_features_in_one_buffer(self):
        memory = np.zeros(4000, np.float32)
        size = FEATURES[0].size
        features = [memory[:size].reshape(FEATURES[0].shape), FEATURES[1].astype("f4")]
        features[0][...] = FEATURES[0]
        out = memory[size : size + 36].reshape(2, 3, 2, 3)
        np.testing.assert_array_equal(pool(features=features, out=out), pool(features=[f.copy() for f in features]))

    def test_out_in_a_file(self, tmp_path):
        out = np.memmap(tmp_path / "crops", np.float32, "w+", shape=(2, 3, 2, 3))
        assert pool(out=out) is out
        out.flush()
        np.testing.assert_array_equal(np.fromfile(tmp_path / "crops", np.float32), pool().ravel())

    @pytest.mark.parametrize("threads", [None, 1, 2, np.int64(3), 64])
    def test_threads(self, threads):
        np.testing.assert_array_equal(pool(threads=threads), pool())

    @pytest.mark.parametrize("dtype", ["u1", "i4", "i8", "u8", ">i2"])
    def test_levels_of_ones_own(self, dtype):
        crops = pool(levels=np.array([1, 0], dtype))
        alone = [
            pool(features=FEATURES[1:], spatial_scales=SCALES[1:], rois=ROIS[:1]),
            pool(features=FEATURES[:1], spatial_scales=SCALES[:1], rois=ROIS[1:]),
        ]
        np.testing.assert_array_equal(crops, np.concatenate(alone))

    def test_inputs_are_left_as_they_are(self):
        before = [level.copy() for level in FEATURES], ROIS.copy()
        pool(aligned=True, sampling_ratio=2)
        np.testing.assert_array_equal(ROIS, before[1])
        for level, copy in zip(FEATURES, before[0], strict=True):
            np.testing.assert_array_equal(level, copy)


class TestPoolSpec:
    @pytest.mark.parametrize("compat", PRESETS)
    def test_gaps_are_filled_from_the_preset(self, compat):
        spec, preset = PoolSpec.resolve(SCALES, 7, compat=compat), PRESETS[compat]
        assert spec.aligned is preset.aligned
        assert spec.sampling_ratio == max(preset.sampling_ratio, 0)
        assert spec.canonical_level == preset.canonical_level
        assert spec.canonical_scale == preset.canonical_scale

    def test_an_explicit_option_beats_the_preset(self):
        spec = PoolSpec.resolve(
            SCALES, 7, 3, compat="torchvision", aligned=True, canonical_level=5, canonical_scale=np.float32(100)
        )
        assert (spec.sampling_ratio, spec.aligned, spec.canonical_level, spec.canonical_scale) == (3, True, 5, 100)

    def test_specs_of_the_same_call_are_equal(self):
        one = PoolSpec.resolve([1 / 4, (1 / 8, 1 / 8)], 7, -1, aligned=np.bool_(False))
        other = PoolSpec.resolve(np.array(SCALES), (7, 7), 0)
        assert one == other
        assert hash(one) == hash(other)

    def test_as_plain_json_values(self):
        assert PoolSpec.resolve(np.array(SCALES), np.array([2, 3]), canonical_level=np.int8(1)).as_dict() == {
            "compat": "lucid",
            "output_size": [2, 3],
            "sampling_ratio": 0,
            "aligned": False,
            "canonical_level": 1,
            "canonical_scale": 224.0,
            "spatial_scales": [[0.25, 0.25], [0.125, 0.125]],
        }

    def test_strides_that_double_roughly(self):
        """A map of odd size is not exactly half its finer neighbour."""
        assert PoolSpec.resolve([0.25, 0.126, (0.0625, 0.0634)], 7, compat="torchvision").lowest_level() == 2

    def test_the_stride_of_a_level_is_the_mean_of_both_axes(self):
        assert PoolSpec.resolve([(1 / 2, 1 / 8), (1 / 4, 1 / 16)], 7, compat="torchvision").lowest_level() == 2
