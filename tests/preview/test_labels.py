"""Labels of boxes: beside their box, within the picture, and none on another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msroi_cli.preview.drawing.labels import MOST, placed

AREA = (300.0, 200.0)


def rectangles(corners, sizes):
    """The labels that have a place, (n, 4), and their boxes."""
    rows = np.flatnonzero(np.isfinite(corners[:, 0]))
    return np.column_stack([corners[rows], corners[rows] + sizes[rows]]), rows


def overlap(a, b):
    """By the definition: points that both have inside."""
    return min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])


@given(st.integers(0, 10**6), st.integers(1, 80))
def test_labels_lie_in_the_picture_touch_their_box_and_never_overlap(seed, count):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-50, 320, (count, 2))
    boxes = np.column_stack([corners, corners + rng.exponential(40, (count, 2))])
    boxes[rng.random(count) < 0.05] = np.nan
    sizes = rng.integers(5, 60, (count, 2)).astype(float)
    found, rows = rectangles(placed(boxes, sizes, AREA, rng.permutation(count)), sizes)
    assert len(rows) <= MOST
    assert (found[:, :2] >= 0).all()
    assert (found[:, 2:] <= AREA).all()
    assert not any(overlap(found[i], found[j]) for i in range(len(found)) for j in range(i))
    for label, box in zip(found, np.clip(boxes[rows], 0, AREA * 2), strict=True):
        assert (label[:2] <= box[2:] + 1).all()
        assert (label[2:] >= box[:2] - 1).all()


@pytest.mark.parametrize("part", [-0.4, 0, 0.3])
def test_the_usual_place_is_above_the_box_at_its_left(part):
    corners = placed(np.array([[100.0, 100, 200, 150]]) + part, np.array([[40.0, 15]]), AREA, np.arange(1))
    assert corners.tolist() == [[100, 85]]


def test_a_label_makes_room_for_lines_of_other_boxes():
    boxes = np.array([[100.0, 100, 200, 150], [90, 80, 210, 93]])
    sizes = np.array([[40.0, 15], [1, 1]])
    (_, top), _ = placed(boxes, sizes, AREA, np.arange(1))[0], None
    assert not 80 - 15 < top < 93


def test_the_first_in_order_get_the_room():
    boxes = np.tile([[100.0, 100, 102, 102]], (40, 1))
    order = np.arange(40)[::-1]
    corners = placed(boxes, np.full((40, 2), 60.0), AREA, order)
    shown = np.flatnonzero(np.isfinite(corners[:, 0]))
    assert 1 <= len(shown) < 40
    assert shown.tolist() == list(range(40 - len(shown), 40))


@pytest.mark.parametrize("boxes", [np.empty((0, 4)), np.full((3, 4), np.nan), np.full((3, 4), np.inf)])
def test_boxes_that_are_none_have_no_labels(boxes):
    corners = placed(boxes, np.full((len(boxes), 2), 9.0), AREA, np.arange(len(boxes)))
    assert np.isnan(corners).all()


def test_a_label_larger_than_the_picture_is_left_out():
    corners = placed(np.array([[1.0, 1, 9, 9]]), np.array([[500.0, 9]]), AREA, np.arange(1))
    assert np.isnan(corners).all()
