"""Pictures become inputs as asked, and geometry tells where their pixels are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from msroi_cli.errors import ArgumentError
from msroi_cli.model.preprocessing import Preprocessing
from msroi_cli.model.resize import Exact, Letterbox, Sides, parse_resize, resize_text

SIDES = st.integers(1, 3000)
RULES = st.sampled_from(
    ["shortest=800,longest=1333", "shortest=64", "longest=1024", "640x480", "letterbox=640", "letterbox=64x32,fill=0"]
)


def random_picture(size, seed=0):
    """Noise of (width, height)."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def plain(picture, done):
    """The slow twin of `Preprocessing.apply`: the docstring of the module step by step, on float arrays."""
    place = done.resize.place(picture.size)
    if place.size != picture.size:
        from msroi_cli.model.preprocessing import INTERPOLATIONS

        picture = picture.resize(place.size, INTERPOLATIONS[done.interpolation])
    canvas = np.full((place.canvas[1], place.canvas[0], 3), getattr(done.resize, "fill", 0), np.uint8)
    left, top = place.corner
    canvas[top : top + place.size[1], left : left + place.size[0]] = np.asarray(picture)
    values = canvas[:, :, ::-1] if done.color == "bgr" else canvas
    values = values.astype(np.float32) * np.float32(done.rescale)
    values = (values - np.float32(done.mean)) / np.float32(done.std)
    height, width = values.shape[:2]
    if done.pad_size:
        width, height = done.pad_size
    width, height = -(-width // done.pad_to) * done.pad_to, -(-height // done.pad_to) * done.pad_to
    padded = np.zeros((height, width, 3), np.float32)
    padded[: values.shape[0], : values.shape[1]] = values
    return padded.transpose(2, 0, 1)[None]


NORMAL = {"rescale": 1 / 255, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@pytest.mark.parametrize("size", [(50, 40), (33, 70), (1, 1)])
@pytest.mark.parametrize(
    "options",
    [
        {},
        NORMAL,
        {"resize": Sides(32, 60), "pad_to": 16, **NORMAL},
        {"resize": Letterbox((48, 64)), "rescale": 1 / 255},
        {"resize": Exact((30, 20)), "interpolation": "bicubic", "color": "bgr", "mean": (103.53, 116.28, 123.675)},
        {"pad_size": (90, 100), "color": "bgr"},
    ],
)
def test_apply_does_what_its_twin_does(size, options):
    done, picture = Preprocessing(**options), random_picture(size)
    made = done.apply(picture)
    wanted = plain(picture, done)
    assert made.shape == wanted.shape
    assert np.array_equal(made.astype(np.float32), wanted)
    assert (made.dtype == np.uint8) == (not {"rescale", "mean", "std"} & set(options))
    assert done.input_size(size) == (made.shape[3], made.shape[2])


@given(width=SIDES, height=SIDES, rule=RULES)
def test_geometry_takes_the_corners_of_a_picture_to_the_corners_of_its_pixels(width, height, rule):
    done = Preprocessing(resize=parse_resize(rule), pad_to=32)
    place, geometry = done.resize.place((width, height)), done.geometry((width, height))
    for axis, side in enumerate((width, height)):
        assert geometry.offset[axis] == place.corner[axis]
        end = side * geometry.scale_factor[axis] + geometry.offset[axis]
        assert end == pytest.approx(place.corner[axis] + place.size[axis])
        assert end <= geometry.input_size[axis] + 1e-6
        assert geometry.input_size[axis] % 32 == 0


@given(width=SIDES, height=SIDES, rule=RULES)
def test_resize_rules_hold(width, height, rule):
    resize = parse_resize(rule)
    place = resize.place((width, height))
    if isinstance(resize, Sides):
        assert min(place.size) == resize.shortest or max(place.size) == resize.longest
        assert resize.longest is None or max(place.size) <= resize.longest
    else:
        assert place.canvas == resize.size
    if isinstance(resize, Letterbox):
        assert place.size[0] == resize.size[0] or place.size[1] == resize.size[1]
    assert parse_resize(resize_text(resize)) == resize


@pytest.mark.parametrize(
    ("size", "wanted"),
    # detectron2's ResizeShortestEdge(800, 1333), computed by its get_output_shape.
    [((640, 480), (1067, 800)), ((480, 640), (800, 1067)), ((2000, 600), (1333, 400)), ((427, 640), (800, 1199))],
)
def test_sides_are_those_of_detectron2(size, wanted):
    assert Sides(800, 1333).place(size).size == wanted


@pytest.mark.parametrize(
    ("rule", "size", "wanted"),
    [
        (Sides(224, None, "cut"), (40, 85), (224, 476)),  # 85 * (224 / 40) is less than 476 in floating point
        (Sides(224, None, "cut"), (85, 40), (476, 224)),
        (Sides(224, None, "cut"), (224, 300), (224, 300)),
        (Sides(800, 1333, "cut"), (640, 480), (1066, 800)),
        (Sides(800, 1333, "cut"), (480, 2000), (320, 1333)),  # 319.92 is rounded, as no side of 319 is asked for
        (Sides(800, 1333, "cut"), (2000, 480), (1333, 320)),
        (Sides(None, 1024), (640, 427), (1024, 683)),
        (Sides(None, 333), (200, 150), (333, 250)),
    ],
)
def test_sides_are_those_of_hugging_face(rule, size, wanted):
    """Worked out by hand from what its image processors state."""
    assert rule.place(size).size == wanted


@pytest.mark.parametrize(
    "text", ["", "800", "shortest=0", "letterbox=640,fill=256", "shortest=3,fill=1", "9x", "longest=4x4"]
)
def test_a_resize_rule_that_is_none_is_refused(text):
    with pytest.raises(ArgumentError, match="expected"):
        parse_resize(text)


@pytest.mark.parametrize(
    "options",
    [
        {"interpolation": "cubic"},
        {"color": "gray"},
        {"std": (1, 0, 1)},
        {"mean": (1, 2)},
        {"rescale": 0},
        {"pad_to": 0},
    ],
)
def test_preprocessing_that_makes_no_sense_is_refused(options):
    with pytest.raises(ArgumentError, match=next(iter(options))):
        Preprocessing(**options)


def test_a_picture_that_is_larger_than_its_padding_is_refused():
    with pytest.raises(ArgumentError, match="at most 10 x 10 before padding, got 20 x 5"):
        Preprocessing(pad_size=(10, 10)).geometry((20, 5))
